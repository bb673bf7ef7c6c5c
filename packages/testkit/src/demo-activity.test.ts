import assert from "node:assert/strict";
import { test } from "node:test";
import { activityAt } from "./demo-activity.ts";
import { answerQuestion } from "./demo-zone.ts";

const activities = Array.from({ length: 1_200 }, (_, n) => activityAt(n));
const lookups = activities.filter((activity) => activity.kind === "dns");

test("every kind of activity comes, and lookups never run out of new names", () => {
  assert.deepEqual(
    new Set(activities.map(({ kind }) => kind)),
    new Set(["dns", "http", "tls", "ping", "ssh"]),
  );
  assert.ok(new Set(lookups.map(({ name }) => name)).size >= 200);
  assert.deepEqual(activityAt(77), activityAt(77));
});

test("every lookup has an answer in the demo's zone", () => {
  for (const { name, type } of lookups) {
    assert.notDeepEqual(answerQuestion({ name, type }).answers, [], `${name} ${type}`);
  }
});
