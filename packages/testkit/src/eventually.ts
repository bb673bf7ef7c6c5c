/** Waits for a condition: often at first and seldom later, and so long that only a hang ends it, not a slow machine. */
import { setTimeout as delay } from "node:timers/promises";

const TIMEOUT_MS = 120_000;
const PAUSE = { firstMs: 10, longestMs: 200, growth: 1.5 } as const;

/** What a look answers while there is nothing yet. */
type NotYet = false | null | undefined;

/**
 * Looks until there is something, and returns it.
 *
 * @param what completes "not within N s: …"
 * @throws Error after `timeoutMs`, and whatever `look` throws
 */
export async function eventually<T>(
  what: string | (() => string),
  look: () => T | NotYet | Promise<T | NotYet>,
  timeoutMs: number = TIMEOUT_MS,
): Promise<T> {
  const endMs = performance.now() + timeoutMs;
  for (let pauseMs: number = PAUSE.firstMs; ; pauseMs = Math.min(pauseMs * PAUSE.growth, PAUSE.longestMs)) {
    const found = await look();
    if (found !== false && found !== null && found !== undefined) return found;
    if (performance.now() > endMs) {
      throw new Error(`not within ${timeoutMs / 1000} s: ${typeof what === "string" ? what : what()}`);
    }
    await delay(pauseMs);
  }
}
