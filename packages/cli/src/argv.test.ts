import assert from "node:assert/strict";
import { test } from "node:test";
import { commandFirst } from "./argv.ts";

test("shared options before the command are moved behind it", () => {
  assert.deepEqual(commandFirst(["--installation", "lab", "--json", "plan", "a.yaml"]), [
    ...["plan", "a.yaml", "--installation", "lab", "--json"],
  ]);
  assert.deepEqual(commandFirst(["--installation=lab", "status"]), ["status", "--installation=lab"]);
});

test("what stands behind the command, or alone, is left as it is", () => {
  assert.deepEqual(commandFirst(["status", "--json"]), ["status", "--json"]);
  assert.deepEqual(commandFirst(["--help"]), ["--help"]);
  assert.deepEqual(commandFirst(["--json"]), ["--json"]);
});
