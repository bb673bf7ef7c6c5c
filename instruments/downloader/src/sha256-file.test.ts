/** Files of sha256sum. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { hashFor } from "./sha256-file.ts";

const [A, B] = ["a".repeat(64), "b".repeat(64)];

test("the hash of a name, as the tools write it", () => {
  assert.equal(hashFor("x.rules", `${B}  y.rules\n${A}  x.rules\n`), A);
  assert.equal(hashFor("x.rules", `${A.toUpperCase()} *./dist/x.rules\r\n`), A);
  assert.equal(hashFor("x.rules", `SHA256 (x.rules) = ${A}\n`), A);
  assert.equal(hashFor("x.rules", `# made today\n${A}\n`), A);
});

test("nothing where it is not said, or said twice differently", () => {
  assert.equal(hashFor("x.rules", ""), null);
  assert.equal(hashFor("x.rules", `${A}  y.rules`), null);
  assert.equal(hashFor("x.rules", `${A}  x.rules\n${B}  x.rules`), null);
  assert.equal(hashFor("x.rules", `${A}\n${B}`), null);
  assert.equal(hashFor("x.rules", `${A.slice(1)}  x.rules`), null);
  assert.equal(hashFor("x.rules", "<html>not found</html>"), null);
});
