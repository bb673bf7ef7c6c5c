import assert from "node:assert/strict";
import { test } from "node:test";
import type { ResourceAnswer } from "@bulkhead/schema";
import { afterAnswer, afterPlacing, noticeOf, nothingOf } from "./receiver-copy.ts";
import type { KeptResource, KeptVersion, ReceiverCopy } from "./resource-file.ts";

const version = (count: number): KeptVersion => ({
  version: `${count}-aaaaaaaaaaaa`,
  sha256: "a".repeat(64),
  sizeBytes: 1,
  mediaType: "text/plain",
  deliveredAt: "2026-01-01T00:00:00.000Z",
});
const resource = (count: number): KeptResource => ({
  from: "feeds",
  type: "ruleset.feed",
  name: "et",
  count,
  current: version(count),
  copies: [],
});
const TAKEN: ResourceAnswer = { outcome: "taken" };
const FAILED: ResourceAnswer = { outcome: "failed", message: "line 1" };
/** The receiver says this of `said`, while `newest` is the publisher's current version. */
const answer = (copy: ReceiverCopy, said: number, what: ResourceAnswer, newest = said): ReceiverCopy =>
  afterAnswer(resource(newest), copy, noticeOf(resource(said), version(said)), what);
const shown = ({ current, good, lastGood, state }: ReceiverCopy): string =>
  `${current?.version[0] ?? "-"} ${good} ${lastGood?.version[0] ?? "-"} ${state}`;

test("the last good version is the newest before the current one that was taken without an error", () => {
  let copy = afterPlacing(resource(1), nothingOf("rules"));
  assert.equal(shown(copy), "1 false - waiting");
  copy = answer(copy, 1, TAKEN);
  assert.equal(shown(copy), "1 true - taken");
  copy = answer(afterPlacing(resource(2), copy), 2, FAILED);
  assert.equal(shown(copy), "2 false 1 failed");
  assert.equal(copy.detail, "line 1");
  copy = answer(afterPlacing(resource(3), copy), 3, TAKEN);
  assert.equal(shown(copy), "3 true 1 taken");
  assert.equal(shown(afterPlacing(resource(4), copy)), "4 false 3 waiting");
});

test("an answer that comes after a newer version makes the older one the last good", () => {
  const first = answer(afterPlacing(resource(1), nothingOf("rules")), 1, TAKEN);
  const third = afterPlacing(resource(3), afterPlacing(resource(2), first));
  assert.equal(shown(third), "3 false 1 waiting");
  assert.equal(shown(answer(third, 2, TAKEN, 3)), "3 false 2 waiting");
  assert.equal(shown(answer(third, 2, FAILED, 3)), "3 false 1 waiting");
  assert.equal(
    shown(answer(answer(third, 2, TAKEN, 3), 1, TAKEN, 3)),
    "3 false 2 waiting",
    "never an older one",
  );
});

test("what could not be placed leaves what is there as good as it was", () => {
  const taken = answer(afterPlacing(resource(1), nothingOf("rules")), 1, TAKEN);
  const left: ReceiverCopy = { ...taken, state: "too-large", detail: "it takes at most 1 bytes" };
  assert.equal(shown(answer(left, 1, TAKEN, 2)), "1 true - too-large", "told again at a start");
  assert.equal(shown(afterPlacing(resource(3), left)), "3 false 1 waiting");
});
