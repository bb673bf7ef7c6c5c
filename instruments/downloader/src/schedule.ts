/**
 * Schedule: when a source is fetched next. Pure: the clock and chance are given to it.
 *
 * Invariants: after a failure the wait doubles, full jitter is taken of it, and it is never longer than the source's
 * own period; a kept time goes on over a restart; a clock that was moved back makes nobody wait longer than a period.
 */

export interface Period {
  readonly every: number;
  readonly jitter: number;
}

const FIRST_RETRY_MS = 30_000;
const LEAST_RETRY_MS = 1_000;
/** What was due while it did not run: not everything in the same moment. */
const LATE_SPREAD_MS = 30_000;

export function afterSuccess(nowMs: number, { every, jitter }: Period, random: () => number): number {
  return nowMs + every + Math.floor(random() * jitter);
}

/** `failures`: in a row, this one included. */
export function afterFailure(
  nowMs: number,
  { every }: Period,
  failures: number,
  retryAfterMs: number | null,
  random: () => number,
): number {
  const fullMs = Math.min(every, FIRST_RETRY_MS * 2 ** Math.min(failures - 1, 30));
  const waitMs = Math.max(LEAST_RETRY_MS, Math.floor(random() * fullMs));
  return nowMs + Math.max(waitMs, Math.min(every, retryAfterMs ?? 0));
}

/** When a source that begins to be looked after is due; `keptMs` is what was decided before, or null. */
export function atStart(nowMs: number, period: Period, keptMs: number | null, random: () => number): number {
  if (keptMs === null) return nowMs;
  if (keptMs <= nowMs) return nowMs + Math.floor(random() * Math.min(period.jitter, LATE_SPREAD_MS));
  return withinReach(nowMs, period, keptMs);
}

/** A time that lies further ahead than any that would be chosen now was chosen by another clock. */
export function withinReach(nowMs: number, { every, jitter }: Period, nextMs: number): number {
  return Math.min(nextMs, nowMs + every + jitter);
}
