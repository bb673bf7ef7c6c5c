import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { parseSlice, sliceAt, SliceName, sliceName } from "./slice.ts";

test("a slice's name says when it begins and ends", () => {
  const at = Date.UTC(2026, 10, 25, 13, 30);
  const name = sliceName(sliceAt(at, 86_400_000));
  assert.equal(name, "20261125T000000Z--20261126T000000Z");
  assert.deepEqual(parseSlice(name), { startMs: Date.UTC(2026, 10, 25), endMs: Date.UTC(2026, 10, 26) });
});

test("what is no name of a slice is none, however near it comes", () => {
  for (const text of [
    "",
    "d",
    "20261125T000000Z",
    "20261126T000000Z--20261125T000000Z",
    "20261125T000000Z--20261125T000000Z",
    "20261132T000000Z--20270101T000000Z",
    "20261125T240000Z--20261127T000000Z",
    "20261125T000000Z--20261126T000000Z.new",
    "../20261125T000000Z--20261126T000000Z",
    "19601125T000000Z--20261126T000000Z",
  ]) {
    assert.equal(parseSlice(text), null, text);
    assert.equal(SliceName.safeParse(text).success, false, text);
  }
});

test("slices of one length lie end to end, and each name is read as what it was made of", () => {
  const seconds = fc.integer({ min: 0, max: Date.UTC(9990, 0, 1) / 1000 });
  const lengths = fc.integer({ min: 10, max: 366 * 86_400 });
  fc.assert(
    fc.property(seconds, lengths, (at, length) => {
      const slice = sliceAt(at * 1000, length * 1000);
      assert.ok(slice.startMs <= at * 1000 && at * 1000 < slice.endMs);
      assert.deepEqual(sliceAt(slice.endMs, length * 1000).startMs, slice.endMs);
      assert.deepEqual(parseSlice(sliceName(slice)), slice);
    }),
  );
});
