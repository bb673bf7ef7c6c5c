import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { quantile, round, summarise } from "./measure.ts";

test("quartiles are interpolated between order statistics", () => {
  assert.deepEqual(summarise([4, 1, 3, 2]), { median: 2.5, spread: [1.75, 3.25] });
  assert.deepEqual(summarise([7]), { median: 7, spread: [7, 7] });
  assert.equal(quantile([10, 20, 30, 40, 50], 0.99), 49.6);
});

test("nothing measured is an error, and so is a quantile that does not exist", () => {
  assert.throws(() => summarise([]), RangeError);
  assert.throws(() => quantile([1], 1.01), RangeError);
  assert.throws(() => quantile([1], Number.NaN), RangeError);
});

test("a quantile lies among the samples and does not depend on their order", () => {
  const samples = fc.array(fc.integer(), { minLength: 1 });
  const share = fc.double({ min: 0, max: 1, noNaN: true });
  fc.assert(
    fc.property(samples, share, (values, q) => {
      const found = quantile(values, q);
      assert.ok(found >= Math.min(...values) && found <= Math.max(...values));
      assert.equal(quantile(values.toReversed(), q), found);
    }),
  );
});

test("four digits are kept, whatever the size", () => {
  assert.equal(round(1_234_567), 1_235_000);
  assert.equal(round(0.000123456), 0.0001235);
  assert.equal(round(0), 0);
});
