/** When a source is due next. */
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import fc from "fast-check";
import { afterFailure, afterSuccess, atStart, withinReach } from "./schedule.ts";

const HOUR = 3_600_000;
const PERIOD = { every: 6 * HOUR, jitter: 600_000 };
const NOW = Date.parse("2026-01-01T00:00:00Z");

suite("schedule", () => {
  test("after a success: the period and a share of the jitter", () => {
    assert.equal(
      afterSuccess(NOW, PERIOD, () => 0),
      NOW + 6 * HOUR,
    );
    assert.equal(
      afterSuccess(NOW, PERIOD, () => 0.5),
      NOW + 6 * HOUR + 300_000,
    );
  });

  test("after failures: doubled, any share of it, never beyond the period", () => {
    const waits = [1, 2, 3, 30].map(
      (failures) => afterFailure(NOW, PERIOD, failures, null, () => 0.999) - NOW,
    );
    assert.deepEqual(
      waits.map((wait) => Math.round(wait / 1000)),
      [30, 60, 120, Math.round(0.999 * 6 * 3600)],
    );
    assert.equal(
      afterFailure(NOW, PERIOD, 5, null, () => 0),
      NOW + 1_000,
    );
  });

  test("who asks to be left alone is, for a period at most", () => {
    const at = (retryAfterMs: number) => afterFailure(NOW, PERIOD, 1, retryAfterMs, () => 0) - NOW;
    assert.equal(at(HOUR), HOUR);
    assert.equal(at(1_000 * HOUR), PERIOD.every);
  });

  test("a kept time goes on; what is overdue comes soon, and not all at once", () => {
    assert.equal(
      atStart(NOW, PERIOD, null, () => 0.5),
      NOW,
    );
    assert.equal(
      atStart(NOW, PERIOD, NOW + HOUR, () => 0.5),
      NOW + HOUR,
    );
    assert.equal(
      atStart(NOW, PERIOD, NOW - HOUR, () => 0.5),
      NOW + 15_000,
    );
  });

  test("whatever the clock did, nobody waits longer than a period", () => {
    fc.assert(
      fc.property(fc.integer(), fc.double({ min: 0, max: 0.999_999, noNaN: true }), (offset, share) => {
        const next = withinReach(
          NOW,
          PERIOD,
          atStart(NOW, PERIOD, NOW + offset * 1_000, () => share),
        );
        assert.ok(next >= NOW && next <= NOW + PERIOD.every + PERIOD.jitter);
      }),
    );
  });
});
