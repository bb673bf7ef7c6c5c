import assert from "node:assert/strict";
import { test } from "node:test";
import { Result, resultOf } from "../result.ts";
import { copyCost } from "./copy-cost.ts";

const eight = resultOf({
  id: "datapath.8ximix",
  unit: "frames/s",
  // 1 µs a frame without a copy, and 0.5 µs a copy: 5 µs with eight.
  samples: [200_000],
  beside: { limit: [1_000_000], tc: [250_000] },
});
const oneCore = resultOf({
  id: "datapath.one-core.1ximix",
  unit: "frames/s",
  samples: [600_000],
  beside: { daemonlogger: [250_000] },
});

test("what a copy costs is what is left of a frame's time, divided by the copies", () => {
  const result = Result.parse(copyCost(eight, oneCore));
  assert.deepEqual([result.id, result.value, result.unit], ["datapath.copy.ximix", 500, "ns"]);
  assert.deepEqual(result.beside, { tc: 375, daemonlogger: 3000 });
  assert.deepEqual(result.ratio, { tc: 1.333, daemonlogger: 0.1667 });
});

test("what was not measured is left out", () => {
  assert.deepEqual(Object.keys(copyCost(eight, undefined).beside), ["tc"]);
});
