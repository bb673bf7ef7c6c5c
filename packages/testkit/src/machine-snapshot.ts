/**
 * A snapshot of what a machine holds, and the difference of two: the proof that something left nothing behind.
 *
 * Invariants: taking one changes nothing; every fact is one printable line in a section, so that a difference can be
 * read; what a machine lacks (a tool, LXD) is an empty section. Counters, sizes of logs and times are left out,
 * because they change by themselves. On a busy machine `about` keeps to the facts that name an installation.
 */
import {
  listAccounts,
  listCgroups,
  listFiles,
  listListeners,
  listLoops,
  listMounts,
  listProcesses,
  listSubordinateIds,
  listSysctls,
} from "./machine-host.ts";
import { listContainerObjects } from "./machine-lxd.ts";
import {
  listFilters,
  listLinks,
  listNamespaceNames,
  listPacketRules,
  listRoutes,
} from "./machine-network.ts";

const READERS = {
  namespaces: listNamespaceNames,
  links: listLinks,
  routes: listRoutes,
  packetRules: listPacketRules,
  trafficControl: listFilters,
  containers: listContainerObjects,
  loops: listLoops,
  mounts: listMounts,
  accounts: listAccounts,
  subordinateIds: listSubordinateIds,
  processes: listProcesses,
  cgroups: listCgroups,
  files: listFiles,
  listeners: listListeners,
  sysctls: listSysctls,
} as const satisfies Readonly<Record<string, () => Promise<readonly string[]>>>;

export type SnapshotSection = keyof typeof READERS;

/** Facts by section, sorted; a fact that is there twice stands there twice. */
export type MachineSnapshot = Readonly<Record<SnapshotSection, readonly string[]>>;

/** One fact that is in one snapshot and not in the other. */
export interface SnapshotDifference {
  readonly section: SnapshotSection;
  readonly change: "added" | "removed";
  readonly fact: string;
}

const SECTIONS = Object.keys(READERS).filter((key): key is SnapshotSection => Object.hasOwn(READERS, key));

/** Reads the machine; @throws Error of the operating system if something that must be readable is not. */
export async function takeSnapshot(): Promise<MachineSnapshot> {
  const read = async (section: SnapshotSection): Promise<readonly [SnapshotSection, readonly string[]]> => [
    section,
    (await READERS[section]()).toSorted(),
  ];
  // Every section of READERS is among SECTIONS, so the record is whole.
  return Object.fromEntries(await Promise.all(SECTIONS.map(read))) as MachineSnapshot;
}

/** What differs, in the order of sections; with `about`, only facts that match it. */
export function diffSnapshots(
  before: MachineSnapshot,
  after: MachineSnapshot,
  options: { readonly about?: RegExp; readonly sections?: readonly SnapshotSection[] } = {},
): readonly SnapshotDifference[] {
  const { about } = options;
  return (options.sections ?? SECTIONS).flatMap((section) => {
    const removed = surplus(before[section], after[section]).map(
      (fact) => ({ section, change: "removed", fact }) as const,
    );
    const added = surplus(after[section], before[section]).map(
      (fact) => ({ section, change: "added", fact }) as const,
    );
    return [...removed, ...added].filter(({ fact }) => about === undefined || about.test(fact));
  });
}

/** A difference for people: one line each, `+` or `-`, section and fact. */
export function renderDifferences(differences: readonly SnapshotDifference[]): string {
  return differences
    .map(({ section, change, fact }) => `${change === "added" ? "+" : "-"} ${section}: ${fact}`)
    .join("\n");
}

/** Those of `left` that `right` has not, or has not as often. */
function surplus(left: readonly string[], right: readonly string[]): readonly string[] {
  const counts = new Map<string, number>();
  for (const fact of right) counts.set(fact, (counts.get(fact) ?? 0) + 1);
  return left.filter((fact) => {
    const count = counts.get(fact) ?? 0;
    counts.set(fact, count - 1);
    return count <= 0;
  });
}
