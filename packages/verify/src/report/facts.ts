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

/** @param lacking what warden found that the host lacks */
export async function hostFacts(lacking: readonly string[]): Promise<HostFacts> {
  const osRelease = await readText("/etc/os-release");
  const filesystems = await readText("/sys/fs/cgroup/cgroup.controllers");
  return {
    host: hostname(),
    kernel: `${release()} ${version()}`,
    distribution: /^PRETTY_NAME="?([^"\n]*)/m.exec(osRelease)?.[1] ?? "unknown",
    node: process.version,
    machine: process.arch,
    absent: [
      ...lacking,
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
