/**
 * The container profile: what one instrument's container is made of, as the runtime's config and devices, the mounts
 * that go before them, and what the kernel must say about the running process.
 *
 * Invariants: pure; every security key is set explicitly, so that no default of any runtime version counts; nothing
 * that a manifest says reaches a runtime's config line unchecked; no NIC device exists (a wire is moved in later).
 * What was tried, and why each line is as it is: the container profile in docs/.
 */
import type { InstrumentSpec } from "@bulkhead/schema";
import { WardenError } from "../error.ts";
import type { Dialect } from "./dialect.ts";
import type { HostFacts } from "./host-facts.ts";
import { IDMAP_SIZE, INSTRUMENT_UID } from "./idmap-claims.ts";
import { cpuAllowanceMs, type KernelExpectation, planKernelExpectation } from "./kernel-expectation.ts";
import { renderMountTable } from "./mount-table.ts";
import type { ProfilePaths } from "./profile-paths.ts";
import { renderSyscallDenials } from "./syscall-denials.ts";

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
}

/** Key that ties a container to the spec that it was made from. */
export const SPEC_DIGEST_KEY = "user.bulkhead.spec";

/** Files that an instrument may hold open; Suricata with a hundred rule files and logs uses some dozens. */
const OPEN_FILES = 4096;

/**
 * @throws WardenError `profile-capability-refused` (only a tap's instrument may hold NET_RAW),
 *   `profile-command-refused` (an argument that a runtime's config line cannot carry), `profile-path-refused`
 */
export function planProfile(input: ProfileInput): ContainerProfile {
  const { spec, paths, idmapBase, dialect, host } = input;
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
      ...limitsConfig(spec),
      ...sysctlConfig(spec),
      "environment.BULKHEAD_INSTRUMENT": spec.name,
      "environment.HOME": "/tmp",
      "environment.PATH": "/opt/node/bin:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
      [SPEC_DIGEST_KEY]: input.specDigest,
    },
    devices: planDevices(paths),
    mountTable: renderMountTable(spec),
    kernel: planKernelExpectation({ spec, paths, idmapBase, dialect, host, netRaw }),
  };
}

function securityConfig(
  { spec, paths, idmapBase, dialect }: ProfileInput,
  netRaw: boolean,
): Readonly<Record<string, string>> {
  return {
    "boot.autostart": "false",
    "raw.lxc": renderRuntimeLines(spec, paths, netRaw),
    "security.privileged": "false",
    "security.nesting": "false",
    [dialect.guestApiKey]: "false",
    [`${dialect.guestApiKey}.images`]: "false",
    "security.idmap.isolated": "true",
    "security.idmap.base": String(idmapBase),
    "security.idmap.size": String(IDMAP_SIZE),
    "security.syscalls.deny": renderSyscallDenials(netRaw),
    "security.syscalls.deny_default": "true",
    "security.syscalls.deny_compat": "true",
    "security.syscalls.intercept.bpf": "false",
    "security.syscalls.intercept.mknod": "false",
    "security.syscalls.intercept.mount": "false",
    "security.syscalls.intercept.sched_setscheduler": "false",
    "security.syscalls.intercept.setxattr": "false",
  };
}

function limitsConfig(spec: InstrumentSpec): Readonly<Record<string, string>> {
  // The engine's reader counts for all; a tool that only reads must never take its turn.
  const priority = { engine: "9", mirror: "5", none: "3" }[spec.network.kind];
  return {
    "limits.cpu.allowance": `${cpuAllowanceMs(spec.cpu)}ms/100ms`,
    "limits.cpu.priority": priority,
    "limits.memory": String(spec.memoryBytes),
    "limits.memory.enforce": "hard",
    "limits.memory.swap": "false",
    "limits.processes": String(spec.processes),
    "limits.kernel.core": "0",
    "limits.kernel.memlock": "65536",
    "limits.kernel.nofile": String(OPEN_FILES),
  };
}

function sysctlConfig(spec: InstrumentSpec): Readonly<Record<string, string>> {
  const user = {
    "linux.sysctl.user.max_inotify_instances": "64",
    "linux.sysctl.user.max_user_namespaces": "0",
  };
  // The engine's namespace belongs to the host; warden set IPv6 there, and the container could not.
  if (spec.network.kind === "engine") return user;
  return {
    ...user,
    "linux.sysctl.net.ipv6.conf.all.disable_ipv6": "1",
    "linux.sysctl.net.ipv6.conf.default.disable_ipv6": "1",
  };
}

/** `raw.lxc`: keys of lxc.container.conf(5). Later lines win over those that the runtime writes itself. */
function renderRuntimeLines(spec: InstrumentSpec, paths: ProfilePaths, netRaw: boolean): string {
  return [
    // PID 1's output would lie unencrypted in the runtime's console log: it goes to /dev/null.
    "lxc.console.path = none",
    "lxc.console.logfile =",
    "lxc.console.buffer.size = 0",
    "lxc.no_new_privs = 1",
    "lxc.signal.halt = SIGTERM",
    ...(netRaw
      ? ["lxc.cap.keep = net_raw setuid setgid setpcap"]
      : ["lxc.cap.keep = none", `lxc.init.uid = ${INSTRUMENT_UID}`, `lxc.init.gid = ${INSTRUMENT_UID}`]),
    `lxc.init.cmd = ${initCommand(spec, netRaw).join(" ")}`,
    `lxc.mount.fstab = ${paths.mountTableFile}`,
    ...(spec.network.kind === "engine"
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

/** tini is PID 1 in both ways: it reaps, and passes SIGTERM on. setpriv leaves NET_RAW alone and becomes tini. */
function initCommand(spec: InstrumentSpec, netRaw: boolean): readonly string[] {
  for (const word of spec.command) requireConfigWord(word, "profile-command-refused", spec.name);
  const command = ["/usr/bin/tini", "--", ...spec.command];
  if (!netRaw) return command;
  return [
    "/usr/bin/setpriv",
    `--reuid=${INSTRUMENT_UID}`,
    `--regid=${INSTRUMENT_UID}`,
    "--clear-groups",
    "--inh-caps=-all,+net_raw",
    "--ambient-caps=-all,+net_raw",
    "--bounding-set=-all,+net_raw",
    "--no-new-privs",
    "--",
    ...command,
  ];
}

function planDevices(paths: ProfilePaths): ContainerProfile["devices"] {
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
    root: { type: "disk", path: "/", pool: paths.pool, readonly: "true" },
    node: readOnly(paths.nodeDir, "/opt/node"),
    sockets: readOnly(paths.socketsDir, "/run/bulkhead"),
    inbox: readOnly(paths.inboxDir, "/inbox"),
    ...Object.fromEntries(volumes),
  };
}

function* hostPaths(paths: ProfilePaths): Iterable<string> {
  const { nodeDir, socketsDir, inboxDir, mountTableFile, netnsFile } = paths;
  yield* [nodeDir, socketsDir, inboxDir, mountTableFile, netnsFile];
  yield* Object.values(paths.volumeDirs);
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
