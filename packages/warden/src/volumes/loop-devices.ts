/**
 * Loop devices by their backing file, read from sysfs.
 *
 * Invariants: reads only; a device that goes away meanwhile is none. Detaching is asynchronous in the kernel, so who
 * needs it to be over waits for it here.
 */
import { readdir } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";
import { isErrno, readIfPresent } from "../site/read-file.ts";

const POLL_MS = 20;

/** Paths such as `/dev/loop3` whose backing file is `file`. Source: Documentation/ABI/testing/sysfs-block-loop. */
export async function loopDevicesOf(file: string): Promise<readonly string[]> {
  const names = (await readdir("/sys/block")).filter((name) => /^loop\d+$/.test(name));
  const backing = await Promise.all(
    names.map(async (name) => [name, await readAttribute(`/sys/block/${name}/loop/backing_file`)] as const),
  );
  return backing.flatMap(([name, text]) => (text?.replace(/\n$/, "") === file ? [`/dev/${name}`] : []));
}

/** True once no loop device is backed by `file`; false if that takes longer than `timeoutMs`. */
export async function awaitLoopDetach(file: string, timeoutMs: number): Promise<boolean> {
  const endMs = performance.now() + timeoutMs;
  while ((await loopDevicesOf(file)).length > 0) {
    if (performance.now() > endMs) return false;
    await delay(POLL_MS);
  }
  return true;
}

/** Null where there is none; sysfs says ENODEV for one that goes away while it is read. */
async function readAttribute(path: string): Promise<string | null> {
  return readIfPresent(path).catch((error: unknown) => {
    if (isErrno(error, "ENODEV")) return null;
    throw error;
  });
}
