/**
 * What each role counts for where a resource is short: share of the processor and of disks, and who is killed first
 * when the host's memory ends.
 *
 * Invariants: pure; total: a kind of network that is not named here gets the least. The capture path comes first, then
 * tools that read what it hands on; every instrument stands behind the platform's own processes (1024, weight 100,
 * and a lower score).
 * Sources: Documentation/admin-guide/cgroup-v2.rst (cpu.weight, io.weight, 1-10000, default 100), scheduler/sched-design-CFS
 * (cpu.shares, default 1024), blkio-controller.rst (weight 10-1000), proc_pid_oom_score_adj(5).
 */
import type { InstrumentSpec } from "@bulkhead/schema";
import type { HostFacts } from "./host-facts.ts";

export interface RolePriority {
  /** `cpu.weight` of cgroup v2. */
  readonly cpuWeight: number;
  /** `io.weight` of cgroup v2. */
  readonly ioWeight: number;
  /** Added to the kernel's score, in thousandths of the memory. */
  readonly oomScoreAdjust: number;
}

const CAPTURE: RolePriority = { cpuWeight: 90, ioWeight: 90, oomScoreAdjust: 200 };
const READER: RolePriority = { cpuWeight: 70, ioWeight: 70, oomScoreAdjust: 400 };
const OTHER: RolePriority = { cpuWeight: 50, ioWeight: 50, oomScoreAdjust: 600 };

export function rolePriority(spec: Pick<InstrumentSpec, "network">): RolePriority {
  if (spec.network.kind === "engine") return CAPTURE;
  return spec.network.kind === "mirror" ? READER : OTHER;
}

/** `cpu.shares` of cgroup v1: the same proportion to its default. */
export function cpuShares({ cpuWeight }: RolePriority): number {
  return Math.round((cpuWeight * 1024) / 100);
}

/** Lines of lxc.container.conf(5); the runtime's own limits.cpu.priority moves shares by 1 % at most. */
export function renderPriorityLines(
  spec: Pick<InstrumentSpec, "network">,
  host: HostFacts,
): readonly string[] {
  const priority = rolePriority(spec);
  const { cpuWeight, ioWeight, oomScoreAdjust } = priority;
  return [
    `lxc.proc.oom_score_adj = ${oomScoreAdjust}`,
    host.cgroup === "v2"
      ? `lxc.cgroup2.cpu.weight = ${cpuWeight}`
      : `lxc.cgroup.cpu.shares = ${cpuShares(priority)}`,
    ...ioLines(host, ioWeight),
  ];
}

function ioLines(host: HostFacts, weight: number): readonly string[] {
  if (host.ioWeightFile === null) return [];
  if (host.cgroup === "v2") return [`lxc.cgroup2.${host.ioWeightFile} = ${weight}`];
  return [`lxc.cgroup.${host.ioWeightFile} = ${Math.max(10, weight)}`];
}
