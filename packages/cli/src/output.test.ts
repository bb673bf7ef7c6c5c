import assert from "node:assert/strict";
import { test } from "node:test";
import { printable } from "./output.ts";

test("output: what an instrument wrote does not steer the terminal", () => {
  const cases: readonly (readonly [string, string])[] = [
    ["plain\ttext\nüber 名前", "plain\ttext\nüber 名前"],
    ["\u001b[32mgood\u001b[39m \u001b[1mbold\u001b[22m", "\u001b[32mgood\u001b[39m \u001b[1mbold\u001b[22m"],
    ["clear\u001b[2J home\u001b[H", "clear·[2J home·[H"],
    ["hidden\u001b[8m", "hidden·[8m"],
    ["title\u001b]0;x\u0007", "title·]0;x·"],
    ["back\rover\b", "back·over·"],
    ["c1\u009b2J", "c1·2J"],
    ["turned\u202etxt.exe", "turned·txt.exe"],
  ];
  for (const [text, shown] of cases) assert.equal(printable(text), shown);
});
