/** Mounts of the host as this process sees them. Reads only. */
import { readFile } from "node:fs/promises";
import { parseMountinfo } from "./mountinfo.ts";

/** Whether something is mounted on `path`, which must be absolute and without links. */
export async function isMountPoint(path: string): Promise<boolean> {
  const mounts = parseMountinfo(await readFile("/proc/self/mountinfo", "utf8"));
  return mounts.some((mount) => mount?.path === path);
}
