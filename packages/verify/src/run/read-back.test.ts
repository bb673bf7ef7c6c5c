import assert from "node:assert/strict";
import { test } from "node:test";
import type { CanaryReply, ObservedInstrument } from "@bulkhead/schema";
import { readBackResults } from "./read-back.ts";

const real: ObservedInstrument = { name: "one", specDigest: "x", state: "running", pid: 7, deviations: [] };
const canary: Pick<CanaryReply, "differences" | "deviations" | "templates"> = {
  differences: [],
  deviations: [],
  templates: [],
};

function statuses(more: Partial<Parameters<typeof readBackResults>[0]>, found: Partial<CanaryReply> = {}) {
  // Of a canary's reply only what was found is read.
  const reply = { ...canary, ...found } as CanaryReply;
  const input = { instrument: "one", before: [real], after: [real], canary: reply, whole: true, ...more };
  return readBackResults(input).map(({ status }) => status);
}

test("what is as planned passes", () => {
  assert.deepEqual(statuses({}), ["passed", "passed", "passed"]);
});

test("drift in the real instrument fails, before the attack or after it", () => {
  const drifted = [{ ...real, deviations: ["limits.memory is unset"] }];
  assert.deepEqual(statuses({ before: drifted }), ["failed", "passed", "passed"]);
  assert.deepEqual(statuses({ after: drifted }), ["failed", "passed", "passed"]);
  assert.deepEqual(statuses({ after: [] }), ["failed", "passed", "passed"]);
});

test("a canary that is no twin fails; a weakened one is allowed to differ from the whole profile", () => {
  assert.deepEqual(statuses({}, { differences: ["limits.cpu differs"] }), ["passed", "failed", "passed"]);
  assert.deepEqual(statuses({}, { deviations: ["CapEff is full"] }), ["passed", "failed", "passed"]);
  assert.deepEqual(statuses({ whole: false }, { deviations: ["CapEff is full"] }), [
    "passed",
    "passed",
    "passed",
  ]);
});

test("an image that would have the runtime write files fails", () => {
  assert.deepEqual(statuses({}, { templates: ["/etc/hosts"] }), ["passed", "passed", "failed"]);
});
