/** Restart back-off: at once the first time, then doubling to a minute, forgotten after five. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { CRASH_WINDOW_MS, nextStartMs } from "../src/index.ts";

test("the first end is followed by a start at once", () => {
  assert.equal(nextStartMs([1000], 1000), 1000);
});

test("each further end doubles the wait, up to a minute", () => {
  const waits = [2, 3, 4, 12].map(
    (count) =>
      nextStartMs(
        Array.from({ length: count }, () => 5000),
        5000,
      ) - 5000,
  );
  assert.deepEqual(waits, [500, 1000, 2000, 60_000]);
});

test("ends long ago are forgotten", () => {
  assert.equal(nextStartMs([0, 1, 2], CRASH_WINDOW_MS + 10), CRASH_WINDOW_MS + 10);
});
