/**
 * The first process of a running container against what the profile says, as the kernel tells it outside.
 *
 * Invariants: pure; what is missing or unreadable is a deviation (fail closed). It says nothing about what the process
 * does, and trusts no text that the instrument chose: in /proc/PID/status only the process's name is such, and the
 * kernel escapes it (fs/proc/array.c, proc_task_name).
 */
import type { KernelExpectation } from "./kernel-expectation.ts";
import type { ProcessView } from "./kernel-view.ts";
import { mountDeviations } from "./mount-deviations.ts";

/** @returns deviations in plain words; empty where there are none */
export function processDeviations(expected: KernelExpectation, view: ProcessView): readonly string[] {
  return [
    ...statusDeviations(expected, parseStatus(view.status)),
    ...idmapDeviations("uid_map", expected, view.uidMap),
    ...idmapDeviations("gid_map", expected, view.gidMap),
    ...networkDeviations(expected, view),
    ...limitDeviations(expected, view),
    ...resourceDeviations(expected, view.resourceLimits),
    ...labelDeviations(expected, view),
    ...mountDeviations(expected, view.mountinfo, view.hostMountinfo),
  ];
}

function statusDeviations(
  expected: KernelExpectation,
  status: ReadonlyMap<string, string>,
): readonly string[] {
  const four = Array.from({ length: 4 }, () => String(expected.uid)).join(" ");
  const wanted: readonly (readonly [key: string, value: string])[] = [
    ["Uid", four],
    ["Gid", four],
    ["CapInh", expected.capabilities],
    ["CapPrm", expected.capabilities],
    ["CapEff", expected.capabilities],
    ["CapBnd", expected.capabilities],
    ["CapAmb", expected.capabilities],
    ["NoNewPrivs", "1"],
    ["Seccomp", "2"],
    ["Groups", ""],
  ];
  return wanted.flatMap(([key, value]) => {
    const found = status.get(key);
    return found === value
      ? []
      : [`${key} of the first process is ${found || "unset"}, not ${value || "empty"}`];
  });
}

function idmapDeviations(name: string, expected: KernelExpectation, text: string): readonly string[] {
  const wanted = `0 ${expected.idmap.base} ${expected.idmap.size}`;
  const found = text
    .trim()
    .split("\n")
    .map((line) => line.trim().split(/\s+/).join(" "))
    .join(", ");
  return found === wanted ? [] : [`${name} is ${found}, not ${wanted}`];
}

function networkDeviations(expected: KernelExpectation, view: ProcessView): readonly string[] {
  const { network } = expected;
  if (network.kind === "joined") {
    if (view.joinedNetns === null) return [`${network.netnsFile} is missing`];
    return view.netns === view.joinedNetns
      ? []
      : [`the network namespace is ${view.netns}, not that of ${network.netnsFile}`];
  }
  if (view.netns === view.hostNetns) return ["it is in the host's network namespace"];
  if (view.namedNetns.includes(view.netns)) return ["it is in a network namespace of the host's"];
  const extra = view.interfaces.filter((name) => !network.interfaces.includes(name));
  return extra.map((name) => `the interface ${JSON.stringify(name)} is not in the profile`);
}

function limitDeviations(expected: KernelExpectation, view: ProcessView): readonly string[] {
  const deviations: string[] = [];
  const { memoryBytes, processes, cpu } = view.limits;
  // Kernels round down to whole pages, of 64 KiB at most.
  if (
    memoryBytes === null ||
    memoryBytes > expected.memoryBytes ||
    memoryBytes < expected.memoryBytes - 65_536
  ) {
    deviations.push(`memory is limited to ${memoryBytes ?? "nothing"}, not ${expected.memoryBytes}`);
  }
  if (processes !== expected.processes) {
    deviations.push(`processes are limited to ${processes ?? "nothing"}, not ${expected.processes}`);
  }
  const share = cpu === null ? null : cpu.quotaUs / cpu.periodUs;
  const wanted = expected.cpu.quotaUs / expected.cpu.periodUs;
  if (share !== wanted) deviations.push(`CPU is limited to ${share ?? "nothing"}, not ${wanted}`);
  const weight = view.limits.cpuWeight;
  if (weight !== expected.cpuWeight) {
    deviations.push(`its share of the processor is ${weight ?? "unset"}, not ${expected.cpuWeight}`);
  }
  const score = view.oomScoreAdjust.trim();
  if (score !== String(expected.oomScoreAdjust)) {
    deviations.push(`its oom_score_adj is ${score || "unset"}, not ${expected.oomScoreAdjust}`);
  }
  return deviations;
}

/** `NAME  SOFT  HARD  UNITS` in columns (proc_pid_limits(5)): both must be what was set. */
function resourceDeviations(expected: KernelExpectation, table: string): readonly string[] {
  const lines = table.split("\n");
  return Object.entries(expected.resourceLimits).flatMap(([name, value]) => {
    const line = lines.find((each) => each.startsWith(`${name} `));
    const [soft, hard] = line?.slice(name.length).trim().split(/\s+/) ?? [];
    if (soft === String(value) && hard === String(value)) return [];
    return [`${name} is ${soft ?? "unset"} of ${hard ?? "unset"}, not ${value}`];
  });
}

function labelDeviations(expected: KernelExpectation, view: ProcessView): readonly string[] {
  if (expected.appArmorPrefix === null) return [];
  const label = view.appArmorLabel?.trim() ?? "";
  const confined = label.startsWith(expected.appArmorPrefix) && label.endsWith("(enforce)");
  return confined ? [] : [`its AppArmor label is ${JSON.stringify(label)}`];
}

/** `Key:\tvalue` lines, blanks within a value made single. */
function parseStatus(text: string): ReadonlyMap<string, string> {
  const entries = text.split("\n").flatMap((line) => {
    const colon = line.indexOf(":");
    if (colon === -1) return [];
    const value = line.slice(colon + 1).trim();
    return [[line.slice(0, colon), value.split(/\s+/).join(" ")] as const];
  });
  return new Map(entries);
}
