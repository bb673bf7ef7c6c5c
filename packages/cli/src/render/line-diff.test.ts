import assert from "node:assert/strict";
import { test } from "node:test";
import { lineDiff } from "./line-diff.ts";

const render = (before: string, after: string): string =>
  lineDiff(before, after)
    .map(({ mark, text }) => mark + text)
    .join("\n");

test("what differs, with two lines around it", () => {
  assert.equal(render("a\nb\nc\nd\ne\nf", "a\nb\nc\nx\ne\nf"), " b\n c\n-d\n+x\n e\n f");
  assert.equal(render("a\nb", "a\nb\nc"), " a\n b\n+c");
  assert.equal(render("a\nb\nc", "b\nc"), "-a\n b\n c");
  assert.equal(render("same\ntext", "same\ntext"), "");
});
