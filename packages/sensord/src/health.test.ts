import assert from "node:assert/strict";
import { test } from "node:test";
import type { HealthReport } from "@bulkhead/schema";
import { HealthBook } from "./health.ts";

const REPORT: HealthReport = {
  state: "ready",
  detail: "",
  restarts: 0,
  configVersion: null,
  packets: null,
  events: { acknowledged: 0, refused: 0, waiting: 0 },
  oldestRecord: null,
};

test("health: a report of a former run is not shown", () => {
  const book = new HealthBook();
  book.observe(new Map([["ids", 7]]), 0);
  book.record("ids", REPORT, 1000);
  assert.deepEqual(book.heard("ids", 3000), { report: REPORT, silentMs: 2000 });
  book.observe(new Map([["ids", 8]]), 5000);
  assert.deepEqual(book.heard("ids", 6000), { report: null, silentMs: 1000 });
  book.record("ids", REPORT, 7000);
  assert.deepEqual(book.heard("ids", 7500), { report: REPORT, silentMs: 500 });
});

test("health: a report may come a little before warden tells of the new run", () => {
  const book = new HealthBook();
  book.record("ids", REPORT, 1000);
  book.observe(new Map([["ids", 7]]), 1900);
  assert.deepEqual(book.heard("ids", 2000).report, REPORT);
});
