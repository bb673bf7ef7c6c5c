/**
 * Retention clock: which time periods are counted by, from what the host's clock says and from the
 * time that has certainly passed since it was last known good. Pure: readings are passed in.
 *
 * Invariants: the time that counts is never later than the host's clock, and never later than the
 * last good time plus what has passed since; so a clock that jumps, either way and however far,
 * deletes nothing before its time as long as one of the two is right. A step that the time switched
 * off may explain is taken over after a day of agreeing with itself; any other by an operator alone.
 */

/** One look at the host's clocks. */
export interface ClockReading {
  /** What the host says the time is; milliseconds since 1970. */
  readonly wallMs: number;
  /** CLOCK_BOOTTIME (clock_gettime(2)): milliseconds since the boot, suspended time included; nobody can set it. */
  readonly uptimeMs: number;
  /** /proc/sys/kernel/random/boot_id: another one is another boot. */
  readonly bootId: string;
}

/** What is kept of the past. */
export interface ClockHistory {
  /** A moment at which the host's clock was good. */
  readonly anchor: ClockReading;
  /** The newest time that counted, and when in which boot; where the next boot goes on from. */
  readonly latest: ClockReading;
  /** In the boot of `latest` the machine may have been off before it, for up to MOST_OFF_MS. */
  readonly afterBoot: boolean;
  /** The clock differs from what was expected, and has agreed with itself since this reading. */
  readonly settling: ClockReading | null;
}

export interface ClockVerdict {
  readonly history: ClockHistory | null;
  /** What periods are counted by; null: nothing is to be deleted by time. */
  readonly nowMs: number | null;
  readonly state: "agrees" | "settling" | "differs" | "implausible";
  /** Wall minus expected. */
  readonly gapMs: number;
}

/** 1 January 2026. No sensor has run before: a clock without a battery begins in 1970. */
export const EARLIEST_PLAUSIBLE_MS = 1_767_225_600_000;
/** What a machine may have been off for without anybody being asked. */
export const MOST_OFF_MS = 31 * 86_400_000;
/** How long a step has to stand before it is taken over. */
export const SETTLE_MS = 86_400_000;
/** A disciplined clock is steered by at most 500 ppm (adjtimex(2)); leap seconds and readings are coarse. */
const STEERING = 500e-6;
const COARSE_MS = 30_000;

export function judgeClock(former: ClockHistory | null, reading: ClockReading): ClockVerdict {
  if (former === null) return first(reading);
  const history = former.latest.bootId === reading.bootId ? former : nextBoot(former, reading);
  const { anchor } = history;
  const elapsedMs = Math.max(0, reading.uptimeMs - anchor.uptimeMs);
  const expectedMs = anchor.wallMs + elapsedMs;
  const gapMs = reading.wallMs - expectedMs;
  const agrees = Math.abs(gapMs) <= toleranceMs(elapsedMs);
  const nowMs = agrees ? reading.wallMs : Math.min(reading.wallMs, expectedMs);
  const latest = { ...reading, wallMs: nowMs };
  if (agrees) {
    return { history: { ...history, latest, settling: null }, nowMs, state: "agrees", gapMs };
  }
  const mayBeOff = history.afterBoot && gapMs > 0 && gapMs <= MOST_OFF_MS;
  if (!mayBeOff) {
    return { history: { ...history, latest, settling: null }, nowMs, state: "differs", gapMs };
  }
  const since = history.settling;
  const steady = since !== null && agreesWith(since, reading) ? since : reading;
  if (reading.uptimeMs - steady.uptimeMs < SETTLE_MS) {
    return { history: { ...history, latest, settling: steady }, nowMs, state: "settling", gapMs };
  }
  return adopt(reading);
}

/** The operator says that this reading is good; one that cannot be changes nothing. */
export function confirmClock(former: ClockHistory | null, reading: ClockReading): ClockVerdict {
  if (reading.wallMs >= EARLIEST_PLAUSIBLE_MS) return adopt(reading);
  return former === null ? first(reading) : judgeClock(former, reading);
}

function adopt(reading: ClockReading): ClockVerdict {
  return {
    history: { anchor: reading, latest: reading, afterBoot: false, settling: null },
    nowMs: reading.wallMs,
    state: "agrees",
    gapMs: 0,
  };
}

function first(reading: ClockReading): ClockVerdict {
  if (reading.wallMs >= EARLIEST_PLAUSIBLE_MS) return adopt(reading);
  return { history: null, nowMs: null, state: "implausible", gapMs: 0 };
}

/** What has passed for certain is the time since the boot; how long the machine was off, nobody knows. */
function nextBoot({ latest }: ClockHistory, { bootId }: ClockReading): ClockHistory {
  const anchor = { wallMs: latest.wallMs, uptimeMs: 0, bootId };
  return { anchor, latest: anchor, afterBoot: true, settling: null };
}

function agreesWith(since: ClockReading, { wallMs, uptimeMs }: ClockReading): boolean {
  const elapsedMs = uptimeMs - since.uptimeMs;
  return Math.abs(wallMs - since.wallMs - elapsedMs) <= toleranceMs(elapsedMs);
}

function toleranceMs(elapsedMs: number): number {
  return COARSE_MS + elapsedMs * STEERING;
}
