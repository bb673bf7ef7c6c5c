/**
 * The container profile: what one instrument's container is made of, as the runtime's config and devices, the mounts
 * that go before them, and what the kernel must say about the running process.
 *
 * Invariants: pure; every security key is set explicitly, so that no default of any runtime version counts; nothing
 * that a manifest says reaches a runtime's config line unchecked; no NIC device exists (a wire is moved in later).
 * What was tried, and why each line is as it is: the container profile in docs/.
 */
import type { ContainmentLayer, InstrumentSpec } from "@bulkhead/schema";
import { WardenError } from "../error.ts";
import type { Dialect } from "./dialect.ts";
import type { HostFacts } from "./host-facts.ts";
import { IDMAP_SIZE, INSTRUMENT_UID } from "./idmap-claims.ts";
import { isJoined } from "./joined-network.ts";
import { cpuAllowanceMs, type KernelExpectation, planKernelExpectation } from "./kernel-expectation.ts";
import { renderMountTable } from "./mount-table.ts";
import { ADVERSARY_PATH, EGRESS_PATH, type ProfilePaths, RESOURCES_PATH } from "./profile-paths.ts";
import { renderResourceLimits, RESOURCE_LIMITS } from "./resource-limits.ts";
import { renderPriorityLines } from "./role-priority.ts";
import { renderSyscallDenials } from "./syscall-denials.ts";
import { EVERY_LAYER } from "./weakening.ts";

export interface ContainerProfile {
  readonly instrument: string;
  readonly config: Readonly<Record<string, string>>;
  readonly devices: Readonly<Record<string, Readonly<Record<string, string>>>>;
  /** Content of `mountTableFile`. */
  readonly mountTable: string;
  readonly kernel: KernelExpectation;
}

export interface ProfileInput {
  readonly spec: InstrumentSpec;
  readonly specDigest: string;
  readonly paths: ProfilePaths;
  readonly idmapBase: number;
  readonly dialect: Dialect;
  readonly host: HostFacts;
  /** Layers left out: for a canary alone, which canaries.ts sees to. */
  readonly without?: ReadonlySet<ContainmentLayer>;
}

/** Key that ties a container to the spec that it was made from. */
export const SPEC_DIGEST_KEY = "user.bulkhead.spec";

/** System V queues and shared memory segments: more than any tool of today uses. Message queues of POSIX: none. */
const IPC_OBJECTS = 32;

/**
 * @throws WardenError `profile-capability-refused` (only a tap's instrument may hold NET_RAW),
 *   `profile-command-refused` (an argument that a runtime's config line cannot carry), `profile-path-refused`
 */
export function planProfile(input: ProfileInput): ContainerProfile {
  const { spec, paths, idmapBase, dialect, host, without = EVERY_LAYER } = input;
  const netRaw = spec.capabilities.includes("NET_RAW");
  if (netRaw && spec.network.kind !== "mirror") {
    throw new WardenError(
      "profile-capability-refused",
      `${spec.name}: NET_RAW is for an instrument with a tap; its network is ${spec.network.kind}`,
      { fields: { instrument: spec.name, network: spec.network.kind } },
    );
  }
  for (const path of hostPaths(paths)) requireConfigWord(path, "profile-path-refused", spec.name);
  return {
    instrument: spec.name,
    config: {
      ...securityConfig(input, netRaw),
      ...limitsConfig(spec, without),
      ...sysctlConfig(spec, without),
      "environment.BULKHEAD_INSTRUMENT": spec.name,
      "environment.HOME": "/tmp",
      // glibc keeps a heap for each thread otherwise: 2 MB that an agent never gives back.
      "environment.MALLOC_ARENA_MAX": "2",
      "environment.PATH": "/opt/node/bin:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
      [SPEC_DIGEST_KEY]: input.specDigest,
    },
    devices: planDevices(paths, without),
    mountTable: renderMountTable(spec, without),
    kernel: planKernelExpectation({ spec, paths, idmapBase, dialect, host, netRaw }),
  };
}

function securityConfig(
  { spec, paths, idmapBase, dialect, host, without = EVERY_LAYER }: ProfileInput,
  netRaw: boolean,
): Readonly<Record<string, string>> {
  return {
    "boot.autostart": "false",
    "raw.lxc": renderRuntimeLines({ spec, paths, host }, netRaw, without),
    "security.privileged": "false",
    "security.nesting": "false",
    [dialect.guestApiKey]: without.has("guest-api") ? "true" : "false",
    [`${dialect.guestApiKey}.images`]: "false",
    "security.idmap.isolated": "true",
    "security.idmap.base": String(idmapBase),
    "security.idmap.size": String(IDMAP_SIZE),
    "security.syscalls.deny": renderSyscallDenials(netRaw, without),
    "security.syscalls.deny_default": without.has("seccomp-runtime") ? "false" : "true",
    "security.syscalls.deny_compat": "true",
    "security.syscalls.intercept.bpf": "false",
    "security.syscalls.intercept.mknod": "false",
    "security.syscalls.intercept.mount": "false",
    "security.syscalls.intercept.sched_setscheduler": "false",
    "security.syscalls.intercept.setxattr": "false",
  };
}

/** Without a limit means far above it, not endless: what a canary does must stay bearable for the host. */
const FAR_ABOVE = 8;
/** Not far above: a host whose root lacks CAP_SYS_RESOURCE raises no limit above the runtime's own. */
const OPEN_FILES_WITHOUT = 2 * RESOURCE_LIMITS.nofile;

function limitsConfig(
  spec: InstrumentSpec,
  without: ReadonlySet<ContainmentLayer>,
): Readonly<Record<string, string>> {
  const limit = (layer: ContainmentLayer, value: number) =>
    String(without.has(layer) ? value * FAR_ABOVE : value);
  // The engine's reader counts for all; a tool that only reads must never take its turn.
  const priority = { engine: "9", mirror: "5", port: "4", nic: "4", none: "3" }[spec.network.kind];
  return {
    "limits.cpu.allowance": `${without.has("cpu-limit") ? 100 * FAR_ABOVE : cpuAllowanceMs(spec.cpu)}ms/100ms`,
    "limits.cpu.priority": priority,
    "limits.memory": limit("memory-limit", spec.memoryBytes),
    "limits.memory.enforce": "hard",
    "limits.memory.swap": "false",
    "limits.processes": limit("process-limit", spec.processes),
    ...renderResourceLimits(),
    "limits.kernel.memlock": limit("locked-memory-limit", RESOURCE_LIMITS.memlock),
    "limits.kernel.nofile": String(
      without.has("open-files-limit") ? OPEN_FILES_WITHOUT : RESOURCE_LIMITS.nofile,
    ),
  };
}

function sysctlConfig(
  spec: InstrumentSpec,
  without: ReadonlySet<ContainmentLayer>,
): Readonly<Record<string, string>> {
  const user = {
    "linux.sysctl.fs.mqueue.queues_max": "0",
    "linux.sysctl.kernel.msgmni": String(IPC_OBJECTS),
    "linux.sysctl.kernel.shmall": String(Math.floor(spec.memoryBytes / 4096)),
    "linux.sysctl.kernel.shmmni": String(IPC_OBJECTS),
    ...(without.has("inotify-limit")
      ? {}
      : {
          "linux.sysctl.user.max_inotify_instances": "64",
          "linux.sysctl.user.max_inotify_watches": "8192",
        }),
    ...(without.has("user-namespaces") ? {} : { "linux.sysctl.user.max_user_namespaces": "0" }),
  };
  // A namespace that was joined belongs to the host; warden set IPv6 there, and the container could not.
  if (joinsNamespace(spec, without)) return user;
  return {
    ...user,
    "linux.sysctl.net.ipv6.conf.all.disable_ipv6": "1",
    "linux.sysctl.net.ipv6.conf.default.disable_ipv6": "1",
  };
}

/** `raw.lxc`: keys of lxc.container.conf(5). Later lines win over those that the runtime writes itself. */
function renderRuntimeLines(
  { spec, paths, host }: Pick<ProfileInput, "spec" | "paths" | "host">,
  netRaw: boolean,
  without: ReadonlySet<ContainmentLayer>,
): string {
  const user = [`lxc.init.uid = ${INSTRUMENT_UID}`, `lxc.init.gid = ${INSTRUMENT_UID}`];
  return [
    // PID 1's output would lie unencrypted in the runtime's console log: it goes to /dev/null.
    "lxc.console.path = none",
    "lxc.console.logfile =",
    "lxc.console.buffer.size = 0",
    ...(without.has("no-new-privileges") ? [] : ["lxc.no_new_privs = 1"]),
    "lxc.signal.halt = SIGTERM",
    ...renderPriorityLines(spec, host),
    ...(netRaw
      ? without.has("capabilities")
        ? []
        : ["lxc.cap.keep = net_raw setuid setgid setpcap"]
      : [...(without.has("capabilities") ? [] : ["lxc.cap.keep = none"]), ...user]),
    `lxc.init.cmd = ${initCommand(spec, netRaw, without).join(" ")}`,
    `lxc.mount.fstab = ${paths.mountTableFile}`,
    ...(joinsNamespace(spec, without)
      ? [
          `lxc.namespace.share.net = ${paths.netnsFile}`,
          // A sysfs of a namespace that the container does not own cannot be mounted, nor cgroups without it.
          "lxc.mount.auto =",
          "lxc.mount.auto = proc:rw",
        ]
      : []),
    "",
  ].join("\n");
}

/** Turns the container's root into the instrument's user with NET_RAW alone. */
const NET_RAW_ALONE_PREFIX: readonly string[] = [
  "/usr/bin/setpriv",
  `--reuid=${INSTRUMENT_UID}`,
  `--regid=${INSTRUMENT_UID}`,
  "--clear-groups",
  "--inh-caps=-all,+net_raw",
  "--ambient-caps=-all,+net_raw",
  "--bounding-set=-all,+net_raw",
  "--no-new-privs",
  "--",
];

/** tini is PID 1 in both ways: it reaps, and passes SIGTERM on. setpriv leaves NET_RAW alone and becomes tini. */
function initCommand(
  spec: InstrumentSpec,
  netRaw: boolean,
  without: ReadonlySet<ContainmentLayer>,
): readonly string[] {
  for (const word of spec.command) requireConfigWord(word, "profile-command-refused", spec.name);
  const command = ["/usr/bin/tini", "--", ...spec.command];
  if (!netRaw) return command;
  // Whoever enters a container later is bounded as its first process is: a canary's root, too.
  const bounded = !without.has("capabilities");
  const prefix = NET_RAW_ALONE_PREFIX.filter((word) => bounded || !word.startsWith("--bounding-set"));
  return [...prefix, ...command];
}

function planDevices(
  paths: ProfilePaths,
  without: ReadonlySet<ContainmentLayer>,
): ContainerProfile["devices"] {
  const readOnly = (source: string, path: string) => ({
    type: "disk",
    source,
    path,
    readonly: "true",
  });
  const volumes = Object.entries(paths.volumeDirs).map(
    ([id, source]) => [`data-${id}`, { type: "disk", source, path: `/data/${id}` }] as const,
  );
  return {
    root: {
      type: "disk",
      path: "/",
      pool: paths.pool,
      readonly: without.has("read-only-root") ? "false" : "true",
    },
    node: readOnly(paths.nodeDir, "/opt/node"),
    sockets: readOnly(paths.socketsDir, "/run/bulkhead"),
    ...(paths.egressDir === undefined ? {} : { egress: readOnly(paths.egressDir, EGRESS_PATH) }),
    inbox: readOnly(paths.inboxDir, "/inbox"),
    ...(paths.resourcesDir === undefined ? {} : { resources: readOnly(paths.resourcesDir, RESOURCES_PATH) }),
    ...(paths.adversaryDir === undefined ? {} : { adversary: readOnly(paths.adversaryDir, ADVERSARY_PATH) }),
    ...Object.fromEntries(volumes),
  };
}

/** A canary without a namespace of its own joins the stand-in's, never the host's. */
function joinsNamespace(spec: InstrumentSpec, without: ReadonlySet<ContainmentLayer>): boolean {
  return isJoined(spec.network) || without.has("network-namespace");
}

function* hostPaths(paths: ProfilePaths): Iterable<string> {
  const { nodeDir, socketsDir, inboxDir, mountTableFile, netnsFile } = paths;
  yield* [nodeDir, socketsDir, inboxDir, mountTableFile, netnsFile];
  yield* Object.values(paths.volumeDirs);
  if (paths.adversaryDir !== undefined) yield paths.adversaryDir;
  if (paths.egressDir !== undefined) yield paths.egressDir;
  if (paths.resourcesDir !== undefined) yield paths.resourcesDir;
}

/** lxc.init.cmd is cut at spaces and has no quoting; a line break would begin a key of its own. */
function requireConfigWord(
  word: string,
  code: "profile-command-refused" | "profile-path-refused",
  instrument: string,
): void {
  if (/^[A-Za-z0-9_./:=,@%+~-]+$/.test(word)) return;
  throw new WardenError(
    code,
    `${instrument}: ${JSON.stringify(word)} has characters other than letters, digits and _./:=,@%+~-`,
    { fields: { instrument, word } },
  );
}
