import assert from "node:assert/strict";
import { test } from "node:test";
import { resolveLink } from "./admission.ts";

test("where a link leads by its words", () => {
  assert.equal(resolveLink("usr/bin/awk", "/etc/alternatives/awk"), "etc/alternatives/awk");
  assert.equal(resolveLink("lib64", "usr/lib64"), "usr/lib64");
  assert.equal(resolveLink("a/b/c", "../d/./e"), "a/d/e");
  assert.equal(resolveLink("a/b", "../../etc/shadow"), null);
  assert.equal(resolveLink("a/b", "/../x"), null);
});
