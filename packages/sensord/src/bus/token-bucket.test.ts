import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { TokenBucket } from "./token-bucket.ts";

test("the burst is free, then the rate holds", () => {
  const bucket = new TokenBucket(1000, 100, 0);
  assert.equal(bucket.take(100, 0), 0);
  assert.equal(bucket.take(50, 0), 50);
  assert.equal(bucket.take(0, 50), 0);
  assert.ok(!bucket.tryTake(50));
  assert.ok(bucket.tryTake(51));
  assert.ok(!bucket.tryTake(51));
});

test("a clock that goes back gives nothing", () => {
  const bucket = new TokenBucket(1000, 1, 1000);
  assert.ok(bucket.tryTake(1000));
  assert.ok(!bucket.tryTake(0));
});

test("property: one who waits as told takes at most burst, rate and one overdraft", () => {
  const takes = fc.array(fc.record({ count: fc.nat(500), restMs: fc.nat(50) }), { maxLength: 50 });
  fc.assert(
    fc.property(takes, (steps) => {
      const bucket = new TokenBucket(2000, 300, 0);
      let nowMs = 0;
      let taken = 0;
      for (const { count, restMs } of steps) {
        const waitMs = bucket.take(count, nowMs);
        taken += count;
        assert.ok(taken <= 300 + 2 * nowMs + 500);
        nowMs += waitMs + restMs;
      }
    }),
  );
});
