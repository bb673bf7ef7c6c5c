import assert from "node:assert/strict";
import { test } from "node:test";
import { RestingCounters } from "./resting-counters.ts";

const NOTHING = { taps: [], spans: [], wires: [] };

function counting() {
  let reads = 0;
  return {
    read: async () => {
      reads += 1;
      return { ...NOTHING };
    },
    get reads() {
      return reads;
    },
  };
}

test("what moves is read each time, and once more after it came to rest", async () => {
  const resting = new RestingCounters();
  const source = counting();
  await resting.read("capture", [1], source.read);
  await resting.read("capture", [2], source.read);
  assert.equal(source.reads, 2);
  const exact = await resting.read("capture", [2], source.read);
  assert.equal(source.reads, 3);
  assert.equal(await resting.read("capture", [2], source.read), exact);
  assert.equal(await resting.read("capture", [2], source.read), exact);
  assert.equal(source.reads, 3);
  await resting.read("capture", [3], source.read);
  assert.equal(source.reads, 4);
});

test("a change of the datapath has everything read again, also one that happens meanwhile", async () => {
  const resting = new RestingCounters();
  const source = counting();
  for (let look = 0; look < 3; look += 1) await resting.read("capture", [1], source.read);
  assert.equal(source.reads, 2);
  resting.forget();
  await resting.read("capture", [1], async () => {
    resting.forget();
    return source.read();
  });
  await resting.read("capture", [1], source.read);
  await resting.read("capture", [1], source.read);
  assert.equal(source.reads, 5);
});
