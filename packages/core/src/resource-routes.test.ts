import assert from "node:assert/strict";
import { test } from "node:test";
import type { Need } from "@bulkhead/schema";
import { planResources } from "./resource-routes.ts";

const publish = (type: string, size: number): Need => ({ id: "out", kind: "resource.publish", type, size });
const receive = (type: string, size: number): Need => ({ id: "in", kind: "resource.receive", type, size });
const NEEDS = new Map<string, readonly Need[]>([
  ["feeds", [publish("ruleset.feed", 100)]],
  ["rules", [receive("ruleset.feed", 40)]],
  ["ids", []],
]);

test("a route is as large as both sides declare, and is there once", () => {
  const grant = { from: "feeds", type: "ruleset.feed", to: "rules" };
  assert.deepEqual(planResources(NEEDS, [grant, grant]), {
    routes: [{ ...grant, maxBytes: 40 }],
    ignored: [],
  });
});

test("a grant that one side does not declare gives nothing", () => {
  const { routes, ignored } = planResources(NEEDS, [
    { from: "feeds", type: "ruleset.feed", to: "ids" },
    { from: "ids", type: "ruleset.feed", to: "rules" },
    { from: "feeds", type: "watch-list", to: "rules" },
    { from: "feeds", type: "ruleset.feed", to: "nobody" },
    { from: "feeds", type: "ruleset.feed", to: "feeds" },
    { from: "platform", type: "ruleset.feed", to: "rules" },
  ]);
  assert.deepEqual(routes, []);
  assert.deepEqual(
    ignored.map((text) => text.split(": ")[1]),
    [
      ...Array.from({ length: 4 }, () => "not declared by both"),
      ...Array.from({ length: 2 }, () => "not between two instruments"),
    ],
  );
});
