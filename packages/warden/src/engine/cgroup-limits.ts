/**
 * The limits that hold for a process, from the control group files of either version.
 *
 * Invariants: the smallest limit on the way from the process's group up to the root counts, because that is what the
 * kernel enforces; "no limit" and "cannot be read" are both null. It reads only.
 * Sources: Documentation/admin-guide/cgroup-v1/{memory,pids}.rst, cgroup-v2.rst, scheduler/sched-bwc.rst.
 */
import { readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { isErrno } from "../site/read-file.ts";
import { parseMountinfo } from "./mountinfo.ts";

export interface CgroupLimits {
  readonly memoryBytes: number | null;
  readonly processes: number | null;
  readonly cpu: { readonly quotaUs: number; readonly periodUs: number } | null;
  /** Share against its neighbours: `cpu.shares` (version 1) or `cpu.weight` (version 2) of the container's own group. */
  readonly cpuWeight: number | null;
}

/**
 * @param membership text of /proc/PID/cgroup
 * @param hostMountinfo where the hierarchies are mounted
 */
export async function readCgroupLimits(membership: string, hostMountinfo: string): Promise<CgroupLimits> {
  const at = (controller: string) => locate(controller, membership, hostMountinfo);
  const [memory, pids, cpu] = [at("memory"), at("pids"), at("cpu")];
  return {
    memoryBytes: await smallest(memory, memory?.version === 1 ? "memory.limit_in_bytes" : "memory.max"),
    processes: await smallest(pids, "pids.max"),
    cpu: await smallestCpu(cpu),
    cpuWeight: await smallest(cpu, cpu?.version === 1 ? "cpu.shares" : "cpu.weight"),
  };
}

interface Place {
  readonly version: 1 | 2;
  readonly mountPath: string;
  readonly group: string;
}

function locate(controller: string, membership: string, hostMountinfo: string): Place | null {
  const mounts = parseMountinfo(hostMountinfo).filter((mount) => mount !== null);
  const lines = membership.split("\n").map((line) => /^(\d+):([^:]*):(\/.*)$/.exec(line));
  const v1 = mounts.find((mount) => mount.type === "cgroup" && mount.superOptions.has(controller));
  const v2 = mounts.find((mount) => mount.type === "cgroup2");
  const group = lines.find((line) =>
    v1 ? line?.[2]?.split(",").includes(controller) === true : line?.[1] === "0",
  )?.[3];
  const mount = v1 ?? v2;
  // A group outside of the reader's own hierarchy shows as /../: not a container that this host made.
  if (mount === undefined || group === undefined || group.split("/").includes("..")) return null;
  return { version: v1 ? 1 : 2, mountPath: mount.path, group };
}

function* upwards(place: Place): Iterable<string> {
  for (let group = place.group; ; group = dirname(group)) {
    yield join(place.mountPath, group);
    if (group === "/") return;
  }
}

async function smallest(place: Place | null, file: string): Promise<number | null> {
  if (place === null) return null;
  let found = Infinity;
  for (const dir of upwards(place)) {
    const value = Number.parseInt((await readIfPresent(join(dir, file))) ?? "", 10);
    if (Number.isFinite(value)) found = Math.min(found, value);
  }
  // cgroup v1 says "no limit" with the largest multiple of a page below 2^63.
  return found >= 2 ** 62 ? null : found;
}

async function smallestCpu(place: Place | null): Promise<CgroupLimits["cpu"]> {
  if (place === null) return null;
  let found: CgroupLimits["cpu"] = null;
  for (const dir of upwards(place)) {
    const text =
      place.version === 2
        ? await readIfPresent(join(dir, "cpu.max"))
        : `${await readIfPresent(join(dir, "cpu.cfs_quota_us"))} ${await readIfPresent(join(dir, "cpu.cfs_period_us"))}`;
    const [quotaUs, periodUs] = (text ?? "").trim().split(/\s+/).map(Number);
    if (quotaUs === undefined || periodUs === undefined) continue;
    if (!(quotaUs > 0) || !(periodUs > 0)) continue; // -1 and "max": no limit here
    if (found === null || quotaUs / periodUs < found.quotaUs / found.periodUs) found = { quotaUs, periodUs };
  }
  return found;
}

async function readIfPresent(path: string): Promise<string | null> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENODEV")) return null;
    throw error;
  }
}
