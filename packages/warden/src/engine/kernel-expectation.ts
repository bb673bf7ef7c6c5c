/**
 * What the kernel must say about the first process of a contained instrument, seen from outside.
 *
 * Invariants: pure; made from the same input as the runtime's config, but compared with other witnesses (see
 * process-deviations.ts), so that a runtime that ignores a key is noticed.
 */
import type { InstrumentSpec } from "@bulkhead/schema";
import type { Dialect } from "./dialect.ts";
import type { HostFacts } from "./host-facts.ts";
import { IDMAP_SIZE, INSTRUMENT_UID } from "./idmap-claims.ts";
import { isJoined } from "./joined-network.ts";
import { memoryMounts } from "./mount-table.ts";
import { ADVERSARY_PATH, EGRESS_PATH, type ProfilePaths, RESOURCES_PATH } from "./profile-paths.ts";
import { RESOURCE_LIMITS } from "./resource-limits.ts";
import { cpuShares, rolePriority } from "./role-priority.ts";

/** Capability sets in hex, as /proc/PID/status prints them. */
const NO_CAPABILITY = "0000000000000000";
const NET_RAW_ALONE = "0000000000002000";

export type ExpectedMount =
  | { readonly path: string; readonly kind: "root" }
  | { readonly path: string; readonly kind: "memory"; readonly sizeBytes: number }
  | { readonly path: string; readonly kind: "read-only"; readonly source: string }
  /** Nothing of the host's but this directory, on a file system of its own. */
  | { readonly path: string; readonly kind: "volume"; readonly source: string };

export interface KernelExpectation {
  /** Of the process, on the host; group alike. */
  readonly uid: number;
  readonly idmap: { readonly base: number; readonly size: number };
  /** Effective, permitted, inheritable, ambient and bounding set. */
  readonly capabilities: string;
  readonly mounts: readonly ExpectedMount[];
  /** Further mounts are deviations, unless they lie below one of these, which the runtime fills. */
  readonly runtimeMounts: readonly string[];
  /** Paths whose presence among the mounts is a deviation wherever they lie. */
  readonly forbiddenMounts: readonly string[];
  readonly network:
    | { readonly kind: "own"; readonly interfaces: readonly string[] }
    | { readonly kind: "joined"; readonly netnsFile: string };
  readonly memoryBytes: number;
  readonly processes: number;
  readonly cpu: { readonly quotaUs: number; readonly periodUs: number };
  /** Share of the processor: `cpu.weight` or `cpu.shares`, by the host's cgroup version. */
  readonly cpuWeight: number;
  readonly oomScoreAdjust: number;
  /** Of the first process, which all others have from it; by the names of /proc/PID/limits. */
  readonly resourceLimits: Readonly<Record<string, number>>;
  /** What the AppArmor label begins with; null where the host has no AppArmor. */
  readonly appArmorPrefix: string | null;
}

export function planKernelExpectation(input: {
  readonly spec: InstrumentSpec;
  readonly paths: ProfilePaths;
  readonly idmapBase: number;
  readonly dialect: Dialect;
  readonly host: HostFacts;
  readonly netRaw: boolean;
}): KernelExpectation {
  const { spec, paths, idmapBase, dialect, host } = input;
  const priority = rolePriority(spec);
  return {
    uid: idmapBase + INSTRUMENT_UID,
    idmap: { base: idmapBase, size: IDMAP_SIZE },
    capabilities: input.netRaw ? NET_RAW_ALONE : NO_CAPABILITY,
    mounts: [
      { path: "/", kind: "root" },
      ...memoryMounts(spec).map(({ path, sizeBytes }) => ({ path, kind: "memory", sizeBytes }) as const),
      { path: "/opt/node", kind: "read-only", source: paths.nodeDir },
      { path: "/run/bulkhead", kind: "read-only", source: paths.socketsDir },
      ...(paths.egressDir === undefined
        ? []
        : [{ path: EGRESS_PATH, kind: "read-only", source: paths.egressDir } as const]),
      { path: "/inbox", kind: "read-only", source: paths.inboxDir },
      ...(paths.resourcesDir === undefined
        ? []
        : [{ path: RESOURCES_PATH, kind: "read-only", source: paths.resourcesDir } as const]),
      ...(paths.adversaryDir === undefined
        ? []
        : [{ path: ADVERSARY_PATH, kind: "read-only", source: paths.adversaryDir } as const]),
      ...Object.entries(paths.volumeDirs).map(
        ([id, source]) => ({ path: `/data/${id}`, kind: "volume", source }) as const,
      ),
    ],
    runtimeMounts: ["/dev", "/proc", "/sys"],
    forbiddenMounts: [dialect.guestApiPath],
    network: isJoined(spec.network)
      ? { kind: "joined", netnsFile: paths.netnsFile }
      : { kind: "own", interfaces: spec.network.kind === "mirror" ? ["lo", "mon0"] : ["lo"] },
    memoryBytes: spec.memoryBytes,
    processes: spec.processes,
    cpu: { quotaUs: cpuAllowanceMs(spec.cpu) * 1000, periodUs: 100_000 },
    cpuWeight: host.cgroup === "v2" ? priority.cpuWeight : cpuShares(priority),
    oomScoreAdjust: priority.oomScoreAdjust,
    resourceLimits: {
      "Max core file size": 0,
      "Max locked memory": RESOURCE_LIMITS.memlock,
      "Max msgqueue size": RESOURCE_LIMITS.msgqueue,
      "Max open files": RESOURCE_LIMITS.nofile,
      "Max pending signals": RESOURCE_LIMITS.sigpending,
      "Max realtime priority": RESOURCE_LIMITS.rtprio,
    },
    appArmorPrefix: host.appArmor ? dialect.appArmorPrefix : null,
  };
}

/** Time in each 100 ms, the runtime's way to say millicores: 1.5 → 150. */
export function cpuAllowanceMs(cpu: number): number {
  return Math.max(1, Math.round(cpu * 100));
}
