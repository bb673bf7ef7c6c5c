/** What a report says about the host: kernel, distribution, runtime, and what the host lacks. */
import { readFile } from "node:fs/promises";
import { hostname, release, version } from "node:os";

export interface HostFacts {
  readonly host: string;
  readonly kernel: string;
  readonly distribution: string;
  readonly node: string;
  readonly machine: string;
  /** Layers that this host cannot offer: never counted as passed. */
  readonly absent: readonly string[];
}

export async function hostFacts(): Promise<HostFacts> {
  const osRelease = await readText("/etc/os-release");
  const appArmor = (await readText("/sys/module/apparmor/parameters/enabled")).trim() === "Y";
  const filesystems = await readText("/sys/fs/cgroup/cgroup.controllers");
  return {
    host: hostname(),
    kernel: `${release()} ${version()}`,
    distribution: /^PRETTY_NAME="?([^"\n]*)/m.exec(osRelease)?.[1] ?? "unknown",
    node: process.version,
    machine: process.arch,
    absent: [
      ...(appArmor ? [] : ["AppArmor: no profile confines containers a second time"]),
      ...(filesystems === "" ? ["control groups version 2: limits are those of version 1"] : []),
    ],
  };
}

async function readText(path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return "";
    throw error;
  }
}
