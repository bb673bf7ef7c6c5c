/**
 * Tap: the receive-only interface that the platform moves into the instrument's namespace, after
 * the start and again whenever it was made anew.
 */
import { readFile } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";

const POLL_MS = 250;
const IFF_UP = 1;

/** Index of the interface if it is there and up, else null. An interface made anew has another. */
export async function observeTap(device: string): Promise<number | null> {
  try {
    const [flags, index] = await Promise.all([
      readFile(`/sys/class/net/${device}/flags`, "utf8"),
      readFile(`/sys/class/net/${device}/ifindex`, "utf8"),
    ]);
    return (Number(flags) & IFF_UP) === 0 ? null : Number(index);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException; // what node:fs rejects with
    if (code === "ENOENT" || code === "ENODEV" || code === "EINVAL") return null;
    throw error;
  }
}

/** Resolves with the index once the interface is up; null when aborted. */
export async function waitForTap(device: string, signal: AbortSignal): Promise<number | null> {
  while (!signal.aborted) {
    const index = await observeTap(device);
    if (index !== null) return index;
    await delay(POLL_MS);
  }
  return null;
}
