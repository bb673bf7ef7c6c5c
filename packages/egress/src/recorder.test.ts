import assert from "node:assert/strict";
import { test } from "node:test";
import { type Happening, Recorder } from "./recorder.ts";

const refusal: Happening = {
  instrument: "fetcher",
  state: "refused",
  host: "a.example.net",
  port: 443,
  address: "",
  sentBytes: 0,
  receivedBytes: 0,
  durationMs: 0,
  reason: "not-granted",
};

test("while nobody takes records, as many are admitted as there is room for, and no more", () => {
  using recorder = new Recorder("/nonexistent/egress.sock", () => undefined, 5);
  const first = recorder.admit();
  const second = recorder.admit();
  assert.ok(first !== null && second !== null);
  assert.equal(recorder.admit(), null);
  recorder.refused(refusal);
  recorder.refused(refusal);
  assert.equal(recorder.waiting, 1, "the second finds no room and is counted");
  first.release();
  assert.equal(recorder.admit() === null, false);
  second.record(refusal);
  second.record(refusal);
  assert.throws(() => second.record(refusal), RangeError);
  assert.equal(recorder.waiting, 3);
});
