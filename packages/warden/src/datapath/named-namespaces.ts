/**
 * The names of network namespaces on this host, where `ip netns` keeps them, and whether one stands for a namespace.
 * Reads only; whose a namespace is, its alias says.
 */
import { readdir, statfs } from "node:fs/promises";

export const namespaceDirectory = "/run/netns";
/** `f_type` of a namespace's file (include/uapi/linux/magic.h). */
const NSFS_MAGIC = 0x6e736673;

export async function listNames(): Promise<readonly string[]> {
  const names = await readdir(namespaceDirectory).catch(absentAs([]));
  return names.toSorted((a, b) => a.localeCompare(b));
}

/** `stale`: the name's file without a namespace behind it, left by a crash in the middle of `ip netns add`. */
export async function nameState(name: string): Promise<"absent" | "stale" | "namespace"> {
  const found = await statfs(`${namespaceDirectory}/${name}`).catch(absentAs(null));
  if (found === null) return "absent";
  return found.type === NSFS_MAGIC ? "namespace" : "stale";
}

function absentAs<T>(value: T): (error: NodeJS.ErrnoException) => T {
  return (error) => {
    if (error.code === "ENOENT") return value;
    throw error;
  };
}
