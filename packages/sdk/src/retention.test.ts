import assert from "node:assert/strict";
import { test } from "node:test";
import { Retention, type RetentionStore } from "./retention.ts";

const BEFORE = "2026-11-01T00:00:00.000Z";

function make(stores: readonly RetentionStore[]) {
  const reports: (string | null)[] = [];
  const problems: string[] = [];
  const retention = new Retention({
    report: (oldest) => void reports.push(oldest),
    onProblem: (text) => void problems.push(text),
  });
  for (const store of stores) retention.add(store);
  return { retention, reports, problems };
}

/** Records by their times. */
function memoryStore(times: readonly string[]): RetentionStore & { readonly left: () => readonly string[] } {
  let left: readonly string[] = times.toSorted();
  return {
    left: () => left,
    purge: (before) => {
      const kept = left.filter((time) => new Date(time) >= before);
      const removed = left.length - kept.length;
      left = kept;
      return removed;
    },
    oldest: () => (left[0] === undefined ? null : new Date(left[0])),
  };
}

test("all stores forget by the moment that the platform gives, and the oldest of all is said", async () => {
  const one = memoryStore(["2026-10-01T00:00:00Z", "2026-11-03T00:00:00Z"]);
  const two = memoryStore(["2026-10-02T00:00:00Z", "2026-10-03T00:00:00Z", "2026-11-02T00:00:00Z"]);
  const { retention, reports } = make([one, two]);
  const oldest = "2026-11-02T00:00:00.000Z";
  assert.deepEqual(await retention.take({ before: BEFORE, reason: "schedule" }), { removed: 3, oldest });
  assert.equal(reports.at(-1), oldest);
  assert.deepEqual(await retention.take({ before: BEFORE, reason: "schedule" }), { removed: 0, oldest });
  await retention.close();
});

test("nothing is deleted without the platform's word", async () => {
  const store = memoryStore(["1970-01-01T00:00:00Z"]);
  const { retention, reports } = make([store]);
  for (const bad of [undefined, {}, { before: "yesterday", reason: "schedule" }, { before: BEFORE }]) {
    const answer = await retention.take(bad);
    assert.equal(answer.removed, null);
    assert.match(answer.problem ?? "", /^the command: /);
  }
  assert.deepEqual(store.left(), ["1970-01-01T00:00:00Z"]);
  assert.deepEqual(reports, ["1970-01-01T00:00:00.000Z"], "its oldest record was reported all the same");
  await retention.close();
});

test("a store that cannot count says so; one that fails is an answer, and the next command works", async () => {
  const { retention } = make([memoryStore([]), { purge: () => undefined, oldest: () => null }]);
  const uncounted = await retention.take({ before: BEFORE, reason: "erase" });
  assert.deepEqual(uncounted, { removed: null, oldest: null });
  await retention.close();

  let broken = true;
  const failing: RetentionStore = {
    purge: () => {
      if (broken) throw new Error("disk is broken");
      return 1;
    },
    oldest: () => null,
  };
  const second = make([failing]);
  const failed = await second.retention.take({ before: BEFORE, reason: "schedule" });
  assert.deepEqual(failed, { removed: null, oldest: null, problem: "disk is broken" });
  assert.deepEqual(second.problems, ["retention: disk is broken"]);
  broken = false;
  assert.equal((await second.retention.take({ before: BEFORE, reason: "schedule" })).removed, 1);
  await second.retention.close();
});

test("without stores there is nothing to remove", async () => {
  const { retention } = make([]);
  assert.deepEqual(await retention.take({ before: BEFORE, reason: "schedule" }), {
    removed: 0,
    oldest: null,
  });
  await retention.close();
});
