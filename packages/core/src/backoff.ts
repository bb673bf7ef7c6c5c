/**
 * Restart back-off: when an instrument that ended by itself may be started again.
 */

const FIRST_DELAY_MS = 500;
const LONGEST_DELAY_MS = 60_000;
/** Ends longer ago than this are forgotten: the instrument ran well since. */
export const CRASH_WINDOW_MS = 5 * 60_000;

/**
 * `endedAtMs`: when it ended by itself, oldest first. Returns the time from which a start is due:
 * at once after the first, then 0.5 s, 1 s, 2 s … up to a minute.
 */
export function nextStartMs(endedAtMs: readonly number[], nowMs: number): number {
  const recent = endedAtMs.filter((at) => nowMs - at < CRASH_WINDOW_MS);
  const last = recent.at(-1);
  if (last === undefined || recent.length === 1) return last ?? nowMs;
  return last + Math.min(LONGEST_DELAY_MS, FIRST_DELAY_MS * 2 ** (recent.length - 2));
}
