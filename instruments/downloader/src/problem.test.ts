/** README.md and the code name the same reasons. */
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { FAILURES, Problem, REFUSALS } from "./problem.ts";

test("every reason has words, and all words are of a reason", async () => {
  const page = await readFile(new URL("../README.md", import.meta.url), "utf8");
  const named = [...page.matchAll(/^\| `([a-z-]+)` \|/gm)].map(([, reason]) => reason);
  assert.deepEqual(named, [...FAILURES, ...REFUSALS]);
});

test("a reason says whether the next time may be better", () => {
  assert.equal(new Problem("timeout", "").kind, "failed");
  assert.equal(new Problem("signature", "").kind, "refused");
});
