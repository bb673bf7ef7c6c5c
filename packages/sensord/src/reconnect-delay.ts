/**
 * Reconnect delay: doubles with each failure up to a limit, with jitter, so that many who lost
 * the same peer do not come back at the same moment. Pure: chance is passed in.
 */

export interface DelayLimits {
  readonly firstMs: number;
  readonly longestMs: number;
}

/** Between half of and the whole of `firstMs · 2^failures`, at most `longestMs`; `chance` in [0, 1). */
export function reconnectDelayMs(failures: number, limits: DelayLimits, chance: number): number {
  const fullMs = Math.min(limits.longestMs, limits.firstMs * 2 ** Math.min(failures, 30));
  return Math.round(fullMs / 2 + (fullMs / 2) * chance);
}
