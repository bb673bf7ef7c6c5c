import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  type ClockHistory,
  type ClockReading,
  type ClockVerdict,
  confirmClock,
  judgeClock,
  MOST_OFF_MS,
  SETTLE_MS,
} from "../src/index.ts";

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const YEAR = 365 * DAY;
const START = Date.UTC(2026, 10, 24);

/** A host whose true time, monotonic clock and settable clock are the test's. */
class TestHost {
  trueMs = START;
  wallOffMs = 0;
  uptimeMs = 60_000;
  boot = 1;
  history: ClockHistory | null = null;

  reading(): ClockReading {
    return { wallMs: this.trueMs + this.wallOffMs, uptimeMs: this.uptimeMs, bootId: `boot-${this.boot}` };
  }

  look(): ClockVerdict {
    const verdict = judgeClock(this.history, this.reading());
    this.history = verdict.history;
    return verdict;
  }

  pass(ms: number): ClockVerdict {
    this.trueMs += ms;
    this.uptimeMs += ms;
    return this.look();
  }

  reboot(offMs: number): ClockVerdict {
    this.trueMs += offMs + MINUTE;
    this.uptimeMs = MINUTE;
    this.boot += 1;
    return this.look();
  }
}

test("a clock that goes on as time does is taken", () => {
  const host = new TestHost();
  host.look();
  for (let hour = 0; hour < 100; hour += 1) {
    const { state, nowMs } = host.pass(HOUR);
    assert.deepEqual([state, nowMs], ["agrees", host.trueMs]);
  }
});

test("a year forward while running: periods go on by the time that has passed", () => {
  const host = new TestHost();
  host.look();
  host.wallOffMs = YEAR;
  const ahead = host.pass(HOUR);
  assert.equal(ahead.state, "differs");
  assert.ok(ahead.nowMs !== null && ahead.nowMs <= host.trueMs + MINUTE);
  const later = host.pass(10 * DAY);
  assert.ok(later.nowMs !== null && later.nowMs > host.trueMs - HOUR && later.nowMs < host.trueMs + HOUR);
  host.wallOffMs = 0;
  assert.equal(host.pass(MINUTE).state, "agrees", "put right, it is right again without anybody's word");
});

test("a year back while running: nothing is deleted by a time that is only expected", () => {
  const host = new TestHost();
  host.look();
  host.wallOffMs = -YEAR;
  const { state, nowMs } = host.pass(HOUR);
  assert.deepEqual([state, nowMs], ["differs", host.trueMs - YEAR]);
});

test("a clock without a battery begins in 1970, and NTP comes late", () => {
  const host = new TestHost();
  host.wallOffMs = -START;
  assert.deepEqual([host.look().state, host.look().nowMs], ["implausible", null]);
  assert.deepEqual([host.pass(HOUR).state, host.pass(HOUR).history], ["implausible", null]);
  host.wallOffMs = 0;
  assert.equal(host.pass(MINUTE).state, "agrees");
  // The next boot begins in 1970 too.
  host.wallOffMs = -host.trueMs;
  const early = host.reboot(2 * HOUR);
  assert.equal(early.state, "differs");
  assert.ok(early.nowMs !== null && early.nowMs < DAY, "and nothing is older than 1970");
});

test("time off is taken over after a day of agreeing with itself", () => {
  const host = new TestHost();
  host.pass(HOUR);
  const first = host.reboot(10 * DAY);
  assert.equal(first.state, "settling");
  assert.ok(first.nowMs !== null && first.nowMs < host.trueMs - 9 * DAY);
  assert.equal(host.pass(SETTLE_MS - MINUTE).state, "settling");
  const settled = host.pass(2 * MINUTE);
  assert.deepEqual([settled.state, settled.nowMs], ["agrees", host.trueMs]);
});

test("longer off than that, or a clock that does not stand, waits for the operator", () => {
  const host = new TestHost();
  host.pass(HOUR);
  assert.equal(host.reboot(MOST_OFF_MS + DAY).state, "differs");
  assert.equal(host.pass(3 * SETTLE_MS).state, "differs");
  const confirmed = confirmClock(host.history, host.reading());
  host.history = confirmed.history;
  assert.deepEqual([confirmed.state, confirmed.nowMs], ["agrees", host.trueMs]);
  assert.equal(host.pass(HOUR).state, "agrees");

  const unsteady = new TestHost();
  unsteady.pass(HOUR);
  unsteady.reboot(DAY);
  for (let hour = 0; hour < 48; hour += 1) {
    unsteady.wallOffMs = hour % 2 === 0 ? 0 : 2 * DAY;
    assert.equal(unsteady.pass(HOUR).state, "settling");
  }
});

test("an operator's word for 1970 is not taken", () => {
  const host = new TestHost();
  host.wallOffMs = -START;
  assert.equal(confirmClock(null, host.reading()).nowMs, null);
  host.wallOffMs = 0;
  host.look();
  host.wallOffMs = -START;
  const refused = confirmClock(host.history, host.reading());
  assert.equal(refused.state, "differs");
  assert.notEqual(refused.history, null, "and what was known is not given up for it");
});

const deed = fc.oneof(
  fc.record({ kind: fc.constant("pass" as const), ms: fc.integer({ min: 1_000, max: 20 * DAY }) }),
  fc.record({ kind: fc.constant("reboot" as const), ms: fc.integer({ min: 0, max: 20 * DAY }) }),
  fc.record({ kind: fc.constant("set" as const), ms: fc.integer({ min: -2 * YEAR, max: 2 * YEAR }) }),
  fc.record({ kind: fc.constant("right" as const), ms: fc.constant(0) }),
);

/** What the looks were, with a clock that is looked at every hour at least, as the keeper does. */
function play(
  deeds: readonly { readonly kind: string; readonly ms: number }[],
  see: (host: TestHost, verdict: ClockVerdict) => void,
): void {
  const host = new TestHost();
  see(host, host.look());
  for (const { kind, ms } of deeds) {
    if (kind === "pass")
      for (let left = ms; left > 0; left -= 6 * HOUR) see(host, host.pass(Math.min(left, 6 * HOUR)));
    else if (kind === "reboot") see(host, host.reboot(ms));
    else {
      host.wallOffMs = kind === "set" ? ms : 0;
      see(host, host.look());
    }
  }
}

test("whatever is done to the clock, what counts is never later than the clock says", () => {
  fc.assert(
    fc.property(fc.array(deed, { maxLength: 15 }), (deeds) => {
      play(deeds, (host, { nowMs }) => assert.ok(nowMs === null || nowMs <= host.reading().wallMs));
    }),
    { numRuns: 200 },
  );
});

test("a clock that is set forward by more than a machine is ever off deletes nothing before its time", () => {
  const jump = fc.oneof(
    deed.filter(({ kind }) => kind !== "set"),
    fc.record({
      kind: fc.constant("set" as const),
      ms: fc.integer({ min: MOST_OFF_MS + 400 * DAY, max: 9 * YEAR }),
    }),
    fc.record({ kind: fc.constant("set" as const), ms: fc.integer({ min: -9 * YEAR, max: -2 * YEAR }) }),
  );
  fc.assert(
    fc.property(fc.array(jump, { maxLength: 12 }), (deeds) => {
      const off = deeds.reduce((sum, { kind, ms }) => (kind === "reboot" ? sum + ms + MINUTE : sum), 0);
      // Time off adds to what a jump looks like; it must not turn one into a plausible step.
      fc.pre(off < 300 * DAY);
      play(deeds, (host, { nowMs }) => {
        // Steering and coarse readings are allowed for: 500 ppm of the time passed.
        const slackMs = 30_000 + (host.trueMs - START) * 600e-6;
        assert.ok(nowMs === null || nowMs <= host.trueMs + slackMs, `${nowMs} > ${host.trueMs}`);
      });
    }),
    { numRuns: 300 },
  );
});
