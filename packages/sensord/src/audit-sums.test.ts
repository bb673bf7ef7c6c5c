import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import type { AuditEntry } from "@bulkhead/schema";
import { AuditSums, type Occurrence } from "./audit-sums.ts";

function makeSums(t: TestContext) {
  t.mock.timers.enable({ apis: ["setInterval", "Date"], now: Date.parse("2026-01-01T00:00:00Z") });
  const entries: AuditEntry[] = [];
  const sums = new AuditSums(
    { append: (kind, subject, detail) => entries.push({ kind, subject, detail }) },
    60_000,
  );
  return { entries, sums };
}

const LOOKUP: Occurrence = {
  kind: "ui-request",
  subject: "local:root",
  facts: { instrument: "pdns" },
  finer: { path: "/v1/status", status: 200 },
  amounts: { receivedBytes: 10 },
};

test("audit sums: the first is told at once, its repeats once a period, with count, sums and times", (t) => {
  const { entries, sums } = makeSums(t);
  sums.add(LOOKUP);
  const known = { instrument: "pdns", path: "/v1/status", status: 200 };
  assert.deepEqual(entries, [
    { kind: "ui-request", subject: "local:root", detail: { ...known, receivedBytes: 10, count: 1 } },
  ]);
  t.mock.timers.tick(1_000);
  sums.add({ ...LOOKUP, amounts: { receivedBytes: 5 } });
  t.mock.timers.tick(1_000);
  sums.add({ ...LOOKUP, amounts: { receivedBytes: 7 }, count: 3 });
  assert.equal(entries.length, 1);
  t.mock.timers.tick(60_000);
  assert.deepEqual(entries.slice(1), [
    {
      kind: "ui-request",
      subject: "local:root",
      detail: {
        ...known,
        receivedBytes: 12,
        count: 4,
        first: "2026-01-01T00:00:01.000Z",
        last: "2026-01-01T00:00:02.000Z",
      },
    },
  ]);
});

test("audit sums: what goes on is one entry a period, and what paused for a period is told at once again", (t) => {
  const { entries, sums } = makeSums(t);
  for (let second = 0; second < 180; second += 1) {
    sums.add(LOOKUP);
    t.mock.timers.tick(1_000);
  }
  assert.deepEqual(
    entries.map(({ detail }) => detail["count"]),
    [1, 59, 60, 60],
  );
  t.mock.timers.tick(60_000);
  sums.add(LOOKUP);
  assert.equal(entries.length, 5);
});

test("audit sums: callers, instruments and outcomes are told apart", (t) => {
  const { entries, sums } = makeSums(t);
  sums.add(LOOKUP);
  sums.add({ ...LOOKUP, subject: "fleet:anna" });
  sums.add({ ...LOOKUP, facts: { instrument: "ids" } });
  sums.add({ ...LOOKUP, finer: { path: "/v1/status", status: 404 } });
  assert.equal(entries.length, 4);
  sums[Symbol.dispose]();
  assert.equal(entries.length, 4);
});

test("audit sums: made-up differences are counted together, and nobody else's are", (t) => {
  const { entries, sums } = makeSums(t);
  for (let n = 0; n < 10_000; n += 1) sums.add({ ...LOOKUP, finer: { path: `/${n}` } });
  assert.equal(entries.length, 51);
  assert.deepEqual(entries[50]?.detail, { instrument: "pdns", various: true, receivedBytes: 10, count: 1 });
  sums.add({ ...LOOKUP, subject: "fleet:anna" });
  assert.deepEqual(entries[51]?.subject, "fleet:anna");
  assert.equal(entries[51]?.detail["path"], "/v1/status");
  sums[Symbol.dispose]();
  const counted = entries
    .filter(({ subject }) => subject === "local:root")
    .map(({ detail }) => detail["count"]);
  assert.equal(
    counted.reduce<number>((sum, count) => sum + Number(count), 0),
    10_000,
  );
});
