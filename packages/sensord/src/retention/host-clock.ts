/** The host's clocks, as the core's retention clock takes them. */
import { readFile } from "node:fs/promises";
import { uptime } from "node:os";
import type { ClockReading } from "@bulkhead/core";

export type ReadClock = () => ClockReading;

/** `os.uptime` is CLOCK_BOOTTIME: it goes on while the machine sleeps, and nobody can set it. */
export async function hostClock(): Promise<ReadClock> {
  // Read once: a process does not outlive its boot. Source: random(4).
  const bootId = (await readFile("/proc/sys/kernel/random/boot_id", "utf8")).trim();
  return () => ({ wallMs: Date.now(), uptimeMs: Math.round(uptime() * 1000), bootId });
}
