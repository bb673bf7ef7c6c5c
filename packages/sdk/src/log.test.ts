import assert from "node:assert/strict";
import { test } from "node:test";
import type { LogLine } from "@bulkhead/schema";
import { BusLog } from "./log.ts";

const LIMITS = { maxWaiting: 3, perInterval: 2, intervalMs: 3_600_000 };

test("lines wait for the connection, oldest first; what does not fit is counted and said", () => {
  const sent: LogLine[] = [];
  let connected = false;
  const log = new BusLog((line) => connected && sent.push(line) > 0, LIMITS);
  for (const text of ["one", "two", "three", "four", "five"]) log.info(text);
  log.send();
  assert.equal(sent.length, 0);
  connected = true;
  log.send();
  assert.deepEqual(
    sent.map(({ message }) => message),
    ["one", "two"],
  );
  log.send();
  assert.deepEqual(
    sent.slice(2).map(({ level, message }) => `${level} ${message}`),
    ["info three", "warn 2 log lines were dropped"],
  );
  log.close();
});

test("a long line is cut to what the platform takes", () => {
  const sent: LogLine[] = [];
  const log = new BusLog((line) => sent.push(line) > 0, LIMITS);
  log.error("x".repeat(10_000));
  log.close();
  assert.equal(sent[0]?.message.length, 4_000);
});
