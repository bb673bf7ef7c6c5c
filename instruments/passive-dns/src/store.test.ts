import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { SeenRecord } from "./dns-record.ts";
import { Store, type CofRecord, type SeenEvent } from "./store.ts";

const record: fc.Arbitrary<SeenRecord> = fc.record({
  rrname: fc.constantFrom("a.example", "b.example", "192.0.2.1"),
  rrtype: fc.constantFrom("A", "AAAA", "PTR"),
  rdata: fc.constantFrom("192.0.2.1", "192.0.2.2", "a.example"),
});
const event: fc.Arbitrary<SeenEvent> = fc.record({
  id: fc.integer({ min: 0, max: 30 }).map((n) => `id-${n}`),
  timeS: fc.integer({ min: 0, max: 1_000 }),
  records: fc.uniqueArray(record, { maxLength: 3, selector: (r) => JSON.stringify(r) }),
});

/** What the store shall hold: the first delivery of each id counts, later ones do not. */
function model(events: readonly SeenEvent[]): Map<string, CofRecord> {
  const seen = new Set<string>();
  const records = new Map<string, CofRecord>();
  for (const { id, timeS, records: own } of events) {
    if (own.length === 0 || seen.has(id)) continue;
    seen.add(id);
    for (const one of own) {
      const key = JSON.stringify(one);
      const former = records.get(key);
      records.set(key, {
        ...one,
        time_first: Math.min(former?.time_first ?? timeS, timeS),
        time_last: Math.max(former?.time_last ?? timeS, timeS),
        count: (former?.count ?? 0) + 1,
      });
    }
  }
  return records;
}

function everything(store: Store): Map<string, CofRecord> {
  const found = ["a.example", "b.example", "192.0.2.1", "192.0.2.2"].flatMap((term) => [
    ...store.lookup(term, 1_000),
  ]);
  return new Map(
    found.map((row) => [
      JSON.stringify({ rrname: row.rrname, rrtype: row.rrtype, rdata: row.rdata }),
      { ...row },
    ]),
  );
}

test("whatever the batches and however often an event is delivered, it counts once", () => {
  fc.assert(
    fc.property(fc.array(fc.array(event, { maxLength: 8 }), { maxLength: 8 }), (batches) => {
      using store = new Store(":memory:");
      for (const batch of batches) store.add(batch);
      assert.deepEqual(everything(store), model(batches.flat()));
    }),
    { numRuns: 200 },
  );
});

test("ids are remembered over at least one turn of generations, and records for good", () => {
  let nowMs = 0;
  using store = new Store(":memory:", { generationIds: 10, generationMs: 1_000, now: () => nowMs });
  const records = [{ rrname: "a.example", rrtype: "A", rdata: "192.0.2.1" }];
  const batch = (from: number, count: number): SeenEvent[] =>
    Array.from({ length: count }, (_, n) => ({ id: `id-${from + n}`, timeS: 5, records }));
  assert.equal(store.add(batch(0, 20)), 20);
  nowMs = 2_000;
  assert.equal(store.add(batch(20, 1)), 1, "the generation turns after this one");
  assert.equal(store.add(batch(0, 20)), 0, "those of the former generation are still known");
  assert.equal(store.add(batch(30, 15)), 15);
  assert.equal(store.lookup("a.example", 10)[0]?.count, 36);
});

test("a batch is whole or not at all", () => {
  using store = new Store(":memory:");
  const good = { id: "a", timeS: 1, records: [{ rrname: "a", rrtype: "A", rdata: "192.0.2.1" }] };
  // A time that is no number cannot be stored.
  const bad = { id: "b", timeS: Number.NaN, records: good.records };
  assert.throws(() => store.add([good, bad]));
  assert.deepEqual(store.lookup("a", 10), []);
  assert.equal(store.add([good]), 1, "what was rolled back counts as new");
});

test("look-ups find names and data, the latest first, within the limit", () => {
  using store = new Store(":memory:");
  store.add([
    { id: "1", timeS: 10, records: [{ rrname: "a.example", rrtype: "A", rdata: "192.0.2.1" }] },
    { id: "2", timeS: 30, records: [{ rrname: "b.example", rrtype: "A", rdata: "192.0.2.1" }] },
    { id: "3", timeS: 20, records: [{ rrname: "192.0.2.1", rrtype: "PTR", rdata: "a.example" }] },
  ]);
  assert.deepEqual(
    store.lookup("192.0.2.1", 10).map((r) => r.rrname),
    ["b.example", "192.0.2.1", "a.example"],
  );
  assert.deepEqual(
    store.lookup("192.0.2.1", 1).map((r) => r.rrname),
    ["b.example"],
  );
  assert.deepEqual(
    store.lookup("a.example", 10).map((r) => r.rrtype),
    ["PTR", "A"],
  );
  assert.deepEqual(store.stats(), { records: 3, names: 3, oldest: 10, newest: 30, observations: 3 });
});

test("a purge forgets what was last seen before, in steps", () => {
  using store = new Store(":memory:");
  store.add(
    Array.from({ length: 10 }, (_, n) => ({
      id: `${n}`,
      timeS: n,
      records: [{ rrname: `n${n}.example`, rrtype: "A", rdata: "192.0.2.1" }],
    })),
  );
  assert.equal(store.purge(5, 3), 3);
  assert.equal(store.purge(5, 3), 2);
  assert.equal(store.purge(5, 3), 0);
  assert.equal(store.oldestS(), 5);
  assert.equal(store.lookup("192.0.2.1", 100).length, 5);
  assert.equal(store.purge(100, 100), 5);
  assert.equal(store.oldestS(), null);
  assert.deepEqual(store.stats(), { records: 0, names: 0, oldest: null, newest: null, observations: 0 });
});
