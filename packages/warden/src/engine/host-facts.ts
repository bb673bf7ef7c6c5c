/**
 * What this host's kernel offers that the container profile depends on. Probed, never assumed from a version.
 */
import { readdir } from "node:fs/promises";
import { nullIfMissing, readIfPresent } from "../site/read-file.ts";

export interface HostFacts {
  /** Where the memory, cpu and pids controllers are: their own mounts (v1), or one hierarchy (v2). */
  readonly cgroup: "v1" | "v2";
  /** Whether the kernel confines by AppArmor; where it does not, that layer is absent and said to be so. */
  readonly appArmor: boolean;
  /** The file of a control group that takes its share of disks; null where no scheduler of this host knows shares. */
  readonly ioWeightFile: string | null;
}

/** What of a container's protection this host cannot give, in plain words. Pure. */
export function absentLayers({ appArmor, ioWeightFile }: HostFacts): readonly string[] {
  return [
    ...(appArmor ? [] : ["AppArmor: the kernel has none"]),
    ...(ioWeightFile === null ? ["shares of disks: no scheduler of this kernel knows them"] : []),
  ];
}

const IO_WEIGHT_FILES = {
  v1: ["blkio.bfq.weight", "blkio.weight"],
  v2: ["io.weight", "io.bfq.weight"],
} as const;

/** @param root for tests: a directory that stands for `/` */
export async function observeHostFacts(root = ""): Promise<HostFacts> {
  const [controllers, appArmor] = await Promise.all([
    readIfPresent(`${root}/sys/fs/cgroup/cgroup.controllers`),
    readIfPresent(`${root}/sys/module/apparmor/parameters/enabled`),
  ]);
  const cgroup = controllers?.split(/\s+/).includes("memory") === true ? "v2" : "v1";
  return { cgroup, appArmor: appArmor?.trim() === "Y", ioWeightFile: await findIoWeight(root, cgroup) };
}

/** The root group has no such file, so a group below it is looked at; they all have the same files. */
async function findIoWeight(root: string, cgroup: HostFacts["cgroup"]): Promise<string | null> {
  const top = `${root}/sys/fs/cgroup${cgroup === "v1" ? "/blkio" : ""}`;
  const entries = (await readdir(top, { withFileTypes: true }).catch(nullIfMissing)) ?? [];
  for (const group of ["", ...entries.filter((entry) => entry.isDirectory()).map(({ name }) => name)]) {
    for (const file of IO_WEIGHT_FILES[cgroup]) {
      if ((await readIfPresent(`${top}/${group}/${file}`)) !== null) return file;
    }
  }
  return null;
}
