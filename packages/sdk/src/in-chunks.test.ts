import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { inChunks } from "./in-chunks.ts";

async function* from(pieces: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* pieces;
}

test("the same bytes in pieces of one size, the last one smaller", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.uint8Array({ maxLength: 40 })),
      fc.integer({ min: 1, max: 17 }),
      async (pieces, size) => {
        const chunks: Uint8Array[] = [];
        for await (const chunk of inChunks(from(pieces), size)) chunks.push(chunk);
        assert.deepEqual(Buffer.concat(chunks), Buffer.concat(pieces));
        assert.ok(chunks.slice(0, -1).every((chunk) => chunk.length === size));
        assert.ok(chunks.every((chunk) => chunk.length > 0 && chunk.length <= size));
      },
    ),
  );
});
