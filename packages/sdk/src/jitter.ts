/**
 * Jitter: how long to wait before trying again, so that many who lost the same peer do not come
 * back all at once.
 */

/** `baseMs` doubled for each earlier failure, at most `capMs`, and a random half of it taken off. */
export function jitteredDelayMs(
  failures: number,
  baseMs: number,
  capMs: number,
  random: () => number = Math.random,
): number {
  const fullMs = Math.min(capMs, baseMs * 2 ** Math.min(failures, 30));
  return Math.round(fullMs * (0.5 + random() / 2));
}
