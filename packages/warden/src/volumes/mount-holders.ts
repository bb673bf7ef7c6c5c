/**
 * Copies of the host's mounts in other mount namespaces, which keep a file system alive after it was unmounted.
 *
 * Every `ip netns exec` and `unshare --mount` copies all mounts of the moment. Where the parent mount is shared, an
 * unmount reaches those that only follow (ip netns exec); a private copy lasts as long as its processes. Nothing here
 * enters another namespace: what would run there is not known.
 */
import { readdir, readFile } from "node:fs/promises";
import type { Commands } from "../commands.ts";
import { parseMountinfo } from "../engine/mountinfo.ts";

/** Makes `dir` a mount of its own whose mounts and unmounts reach copies that follow it. Idempotent. */
export async function shareMounts(dir: string, commands: Commands): Promise<void> {
  const mounts = parseMountinfo(await readFile("/proc/self/mountinfo", "utf8"));
  if (!mounts.some((mount) => mount?.path === dir)) await commands.run(["mount", "--bind", "--", dir, dir]);
  await commands.run(["mount", "--make-shared", "--", dir]);
}

/**
 * Processes in whose mount namespace one of `devices` is mounted, for a person to look at: `process 4711 (unshare)`.
 * @param devices block devices such as `/dev/loop3`
 */
export async function mountHolders(devices: readonly string[]): Promise<readonly string[]> {
  const pids = (await readdir("/proc")).filter((entry) => /^\d+$/.test(entry));
  const found = await Promise.all(
    pids.map(async (pid) => {
      // A process that ends while it is looked at holds nothing any more.
      const text = await readFile(`/proc/${pid}/mountinfo`, "utf8").catch(() => "");
      if (!devices.some((device) => text.includes(` ${device} `))) return null;
      const name = await readFile(`/proc/${pid}/comm`, "utf8").catch(() => "?");
      return `process ${pid} (${name.trim()})`;
    }),
  );
  return found.filter((holder) => holder !== null);
}
