/**
 * What this host's kernel offers that the container profile depends on. Probed, never assumed from a version.
 */
import { readFile } from "node:fs/promises";

export interface HostFacts {
  /** Where the memory, cpu and pids controllers are: their own mounts (v1), or one hierarchy (v2). */
  readonly cgroup: "v1" | "v2";
  /** Whether the kernel confines by AppArmor; where it does not, that layer is absent and said to be so. */
  readonly appArmor: boolean;
}

/** @param root for tests: a directory that stands for `/` */
export async function observeHostFacts(root = ""): Promise<HostFacts> {
  const [controllers, appArmor] = await Promise.all([
    readIfPresent(`${root}/sys/fs/cgroup/cgroup.controllers`),
    readIfPresent(`${root}/sys/module/apparmor/parameters/enabled`),
  ]);
  return {
    cgroup: controllers?.split(/\s+/).includes("memory") === true ? "v2" : "v1",
    appArmor: appArmor?.trim() === "Y",
  };
}

async function readIfPresent(path: string): Promise<string | null> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return null;
    throw error;
  }
}
