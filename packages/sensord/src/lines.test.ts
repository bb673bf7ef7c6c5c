import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { isSensordError } from "./error.ts";
import { readLines } from "./lines.ts";

async function* pieces(data: Buffer, cuts: readonly number[]): AsyncGenerator<Buffer> {
  let from = 0;
  for (const cut of [...cuts].toSorted((a, b) => a - b)) {
    const to = Math.min(data.length, Math.max(from, cut));
    yield data.subarray(from, to);
    from = to;
  }
  yield data.subarray(from);
}

async function collect(lines: AsyncIterable<string>): Promise<readonly string[]> {
  const found: string[] = [];
  for await (const line of lines) found.push(line);
  return found;
}

test("lines: the same whatever the pieces they come in", async () => {
  const line = fc.string({ unit: "grapheme", minLength: 1 }).filter((text) => !text.includes("\n"));
  await fc.assert(
    fc.asyncProperty(fc.array(line), fc.array(fc.nat(200)), async (lines, cuts) => {
      const data = Buffer.from(lines.map((text) => `${text}\n`).join(""));
      assert.deepEqual(await collect(readLines(pieces(data, cuts), 10_000)), lines);
    }),
  );
});

test("lines: what was cut off is no line, and one that is too long ends the reading", async () => {
  assert.deepEqual(await collect(readLines(pieces(Buffer.from("a\n\nb"), []), 10)), ["a"]);
  await assert.rejects(collect(readLines(pieces(Buffer.from("x".repeat(11)), [5]), 10)), (error) =>
    isSensordError(error, "line-too-long"),
  );
});
