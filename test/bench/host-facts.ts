/** Host facts: what a result was measured on, read from /proc and the system's own description. */
import { readFile } from "node:fs/promises";
import { availableParallelism, cpus, loadavg, release, totalmem } from "node:os";
import type { Report } from "./result.ts";

export async function observeHost(): Promise<Report["host"]> {
  const osRelease = await readFile("/etc/os-release", "utf8");
  return {
    cpu: cpus()[0]?.model.trim() ?? "unknown",
    cores: availableParallelism(),
    kernel: release(),
    system: /^PRETTY_NAME="?(.*?)"?$/m.exec(osRelease)?.[1] ?? "unknown",
    memoryBytes: totalmem(),
    node: process.version,
    loadBefore: Number((loadavg()[0] ?? 0).toFixed(2)),
  };
}
