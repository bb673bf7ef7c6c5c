/**
 * The port through which a running container is looked at from outside, and its real implementation on /proc.
 *
 * Invariants: nothing is read through the container's own root or executed in it; a process that ended meanwhile is
 * null, not an error. It judges nothing: see process-deviations.ts.
 */
import { readdir, readFile, readlink, stat } from "node:fs/promises";
import { join } from "node:path";
import { isErrno } from "../site/read-file.ts";
import { type CgroupLimits, readCgroupLimits } from "./cgroup-limits.ts";

export interface ProcessView {
  /** /proc/PID/status */
  readonly status: string;
  readonly uidMap: string;
  readonly gidMap: string;
  readonly mountinfo: string;
  readonly hostMountinfo: string;
  /** `net:[4026532820]`, as /proc/PID/ns/net reads. */
  readonly netns: string;
  readonly hostNetns: string;
  /** Of the namespaces in /run/netns. */
  readonly namedNetns: readonly string[];
  /** Of the namespace file that was asked for; null without one, or where there is none. */
  readonly joinedNetns: string | null;
  readonly interfaces: readonly string[];
  readonly limits: CgroupLimits;
  /** /proc/PID/limits */
  readonly resourceLimits: string;
  /** /proc/PID/oom_score_adj */
  readonly oomScoreAdjust: string;
  /** Null where the kernel keeps none. */
  readonly appArmorLabel: string | null;
}

export interface KernelView {
  /** @param netnsFile a namespace file to compare with, or null */
  observeProcess(pid: number, netnsFile: string | null): Promise<ProcessView | null>;
}

const NETNS_DIR = "/run/netns";

/** The real port. */
export function hostKernelView(): KernelView {
  return {
    async observeProcess(pid, netnsFile) {
      const dir = `/proc/${pid}`;
      try {
        const hostMountinfo = await readFile("/proc/self/mountinfo", "utf8");
        const view: ProcessView = {
          status: await readFile(`${dir}/status`, "utf8"),
          uidMap: await readFile(`${dir}/uid_map`, "utf8"),
          gidMap: await readFile(`${dir}/gid_map`, "utf8"),
          mountinfo: await readFile(`${dir}/mountinfo`, "utf8"),
          hostMountinfo,
          netns: await readlink(`${dir}/ns/net`),
          hostNetns: await readlink("/proc/self/ns/net"),
          namedNetns: await namedNetns(),
          joinedNetns: netnsFile === null ? null : await netnsOf(netnsFile),
          interfaces: parseInterfaces(await readFile(`${dir}/net/dev`, "utf8")),
          resourceLimits: await readFile(`${dir}/limits`, "utf8"),
          oomScoreAdjust: await readFile(`${dir}/oom_score_adj`, "utf8"),
          limits: await readCgroupLimits(await readFile(`${dir}/cgroup`, "utf8"), hostMountinfo),
          appArmorLabel: await appArmorLabel(dir),
        };
        // A process that was reaped while it was read: /proc gives empty files for some of them.
        return view.mountinfo === "" || /^State:\s+[ZX]/m.test(view.status) ? null : view;
      } catch (error) {
        if (isErrno(error, "ENOENT", "ESRCH", "EINVAL")) return null;
        throw error;
      }
    },
  };
}

/** A bound namespace file has the namespace's inode (nsfs); null where it is absent. */
async function netnsOf(file: string): Promise<string | null> {
  try {
    return `net:[${(await stat(file)).ino}]`;
  } catch (error) {
    if (isErrno(error, "ENOENT")) return null;
    throw error;
  }
}

async function namedNetns(): Promise<readonly string[]> {
  let names: readonly string[];
  try {
    names = await readdir(NETNS_DIR);
  } catch (error) {
    if (isErrno(error, "ENOENT")) return [];
    throw error;
  }
  const found = await Promise.all(names.map((name) => netnsOf(join(NETNS_DIR, name))));
  return found.filter((netns) => netns !== null);
}

/** Two lines of heading, then `  name: counters`. */
function parseInterfaces(text: string): readonly string[] {
  return text
    .split("\n")
    .slice(2)
    .flatMap((line) => {
      const colon = line.lastIndexOf(":");
      return colon === -1 ? [] : [line.slice(0, colon).trim()];
    });
}

async function appArmorLabel(dir: string): Promise<string | null> {
  try {
    return await readFile(`${dir}/attr/apparmor/current`, "utf8");
  } catch (error) {
    // EINVAL and ENOENT: another security module, or none.
    if (isErrno(error, "ENOENT", "EINVAL")) return null;
    throw error;
  }
}
