/** Pause: waits for a time or until `signal` is aborted, whichever comes first; it does not throw. */
import { setTimeout as sleep } from "node:timers/promises";

export async function pause(durationMs: number, signal: AbortSignal): Promise<void> {
  try {
    await sleep(durationMs, undefined, { signal, ref: false });
  } catch (error) {
    if (!signal.aborted) throw error;
  }
}
