import assert from "node:assert/strict";
import { test } from "node:test";
import { isAtLeast } from "./broker-program.ts";

test("versions are compared by numbers, and a distribution's suffix does not count", () => {
  assert.ok(isAtLeast("2.10.27", "2.10.27"));
  assert.ok(isAtLeast("2.10.27-1+b2", "2.10.27"));
  assert.ok(isAtLeast("2.11.0", "2.10.27"));
  assert.ok(isAtLeast("3.0", "2.10.27"));
  assert.ok(!isAtLeast("2.9.99", "2.10.27"));
  assert.ok(!isAtLeast("2.10.9", "2.10.27"));
  assert.ok(!isAtLeast("2.10", "2.10.27"));
  assert.ok(!isAtLeast("unknown", "2.10.27"));
});
