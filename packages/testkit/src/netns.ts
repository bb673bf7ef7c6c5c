/**
 * Network namespaces for tests: made, wired with veths, read and removed again.
 *
 * Invariants: everything made here is owned by an async disposable, so it goes when the test's scope ends, also after
 * a failure; IPv6 is off in a new namespace unless asked for, so that nothing but the test's own frames is on the wire.
 * It never touches an interface of the host's own namespace.
 */
import { randomBytes } from "node:crypto";
import { type CommandOptions, type CommandOutput, runCommand } from "./command.ts";
import { TestkitError } from "./error.ts";

/** A namespace that stands until it is disposed of. */
export interface NetworkNamespace extends AsyncDisposable {
  readonly name: string;
  /** Runs a program inside it; @throws as runCommand. */
  run(file: string, args: readonly string[], options?: CommandOptions): Promise<CommandOutput>;
  /** `ip -n NAME ARGS`. */
  ip(...args: readonly string[]): Promise<string>;
  /** `tc -n NAME ARGS`. */
  tc(...args: readonly string[]): Promise<string>;
}

/** One end of a veth; `namespace` undefined is never accepted: tests keep off the host's interfaces. */
export interface VethEnd {
  readonly namespace: NetworkNamespace;
  readonly device: string;
  /** Addresses with prefix length, such as `192.0.2.1/24`. */
  readonly addresses?: readonly string[];
}

/** What the kernel counted on a device since it was made. */
export interface LinkCounters {
  readonly rxPackets: number;
  readonly rxBytes: number;
  readonly rxDropped: number;
  readonly txPackets: number;
  readonly txBytes: number;
  readonly txDropped: number;
}

const NAME_PATTERN = /^[a-z][a-z0-9-]{0,63}$/;
const DEVICE_PATTERN = /^[a-z][a-z0-9.-]{0,14}$/;

/**
 * Makes a namespace. Without a name it gets a random one that begins with `bhtest-`.
 * @throws TestkitError `testkit-bad-name`, or `testkit-command-failed` if the name is taken.
 */
export async function makeNamespace(
  options: { readonly name?: string; readonly ipv6?: boolean } = {},
): Promise<NetworkNamespace> {
  const name = options.name ?? `bhtest-${randomBytes(4).toString("hex")}`;
  if (!NAME_PATTERN.test(name)) throw new TestkitError("testkit-bad-name", `namespace name ${name}`);
  await runCommand("ip", ["netns", "add", name]);
  const namespace = openNamespace(name);
  await setSysctls(name, namespaceSysctls(options.ipv6 ?? false));
  await namespace.ip("link", "set", "lo", "up");
  return namespace;
}

/** A handle on a namespace that stands already; disposing of it removes it. */
export function openNamespace(name: string): NetworkNamespace {
  return {
    name,
    run: (file, args, options) =>
      runCommand("nsenter", [`--net=${namespacePath(name)}`, "--", file, ...args], options),
    ip: async (...args) => (await runCommand("ip", ["-n", name, ...args])).stdout,
    tc: async (...args) => (await runCommand("tc", ["-n", name, ...args])).stdout,
    [Symbol.asyncDispose]: () => removeNamespace(name),
  };
}

/** Where `ip netns` keeps the namespace. */
export function namespacePath(name: string): string {
  return `/run/netns/${name}`;
}

/** Names of the namespaces that `ip netns` knows. */
export async function listNamespaces(): Promise<ReadonlySet<string>> {
  const { stdout } = await runCommand("ip", ["netns", "list"]);
  return new Set(stdout.split("\n").flatMap((line) => line.split(" ")[0] || []));
}

/** Removes a namespace; an absent one is fine. Its veths go with it, once the last process in it has ended. */
export async function removeNamespace(name: string): Promise<void> {
  if (!(await listNamespaces()).has(name)) return;
  await runCommand("ip", ["netns", "del", name]);
}

/**
 * Joins two namespaces by a veth, both ends up, made inside the namespaces so that the host never sees it.
 * Segmentation and checksum offloads are off: frames are what a real wire carries.
 */
export async function joinByVeth(
  left: VethEnd,
  right: VethEnd,
  options: { readonly mtu?: number } = {},
): Promise<void> {
  for (const end of [left, right]) {
    if (!DEVICE_PATTERN.test(end.device))
      throw new TestkitError("testkit-bad-name", `device name ${end.device}`);
  }
  const mtu = options.mtu ?? 1500;
  const describe = (end: VethEnd): string => `name ${end.device} mtu ${mtu} netns ${end.namespace.name}`;
  await runCommand("ip", ["-batch", "-"], {
    input: `link add ${describe(left)} type veth peer ${describe(right)}\n`,
  });
  for (const end of [left, right]) {
    await makeLikeWire(end.namespace.name, end.device);
    for (const address of end.addresses ?? []) {
      await end.namespace.ip(
        "addr",
        "add",
        address,
        "dev",
        end.device,
        ...(address.includes(":") ? ["nodad"] : []),
      );
    }
    await end.namespace.ip("link", "set", end.device, "up");
  }
}

/** Makes a veth end send what a real network card would put on the wire: no oversized segments, checksums filled in. */
export async function makeLikeWire(namespace: string, device: string): Promise<void> {
  const offloads = ["tso", "gso", "tx"].flatMap((offload) => [offload, "off"]);
  await runCommand("nsenter", [
    `--net=${namespacePath(namespace)}`,
    "--",
    "ethtool",
    "-K",
    device,
    ...offloads,
  ]);
}

/**
 * The kernel's counters of a device, in a namespace or (without one) on the host.
 * @throws TestkitError `testkit-command-failed` if there is no such device.
 */
export async function readCounters(device: string, namespace?: string): Promise<LinkCounters> {
  const where = namespace === undefined ? [] : ["-n", namespace];
  const { stdout } = await runCommand("ip", [...where, "-j", "-s", "link", "show", "dev", device]);
  // The shape is iproute2's own: one entry for one device, stats64 with rx and tx.
  const [link] = JSON.parse(stdout) as readonly {
    readonly stats64: Readonly<Record<"rx" | "tx", LinkStats>>;
  }[];
  if (link === undefined) throw new TestkitError("testkit-command-failed", `no counters of ${device}`);
  const { rx, tx } = link.stats64;
  return {
    rxPackets: rx.packets,
    rxBytes: rx.bytes,
    rxDropped: rx.dropped,
    txPackets: tx.packets,
    txBytes: tx.bytes,
    txDropped: tx.dropped,
  };
}

/** Sets kernel parameters (`net.…`) inside a namespace. */
export async function setSysctls(namespace: string, settings: readonly string[]): Promise<void> {
  await runCommand("nsenter", [`--net=${namespacePath(namespace)}`, "--", "sysctl", "-q", "-w", ...settings]);
}

/** Kernel parameters of a quiet namespace: no router advertisements, no address detection, IPv6 only if asked for. */
export function namespaceSysctls(ipv6: boolean): readonly string[] {
  return ["all", "default"].flatMap((which) =>
    [
      "accept_ra=0",
      "autoconf=0",
      "accept_dad=0",
      "router_solicitations=0",
      `disable_ipv6=${ipv6 ? 0 : 1}`,
    ].map((setting) => `net.ipv6.conf.${which}.${setting}`),
  );
}

interface LinkStats {
  readonly packets: number;
  readonly bytes: number;
  readonly dropped: number;
}
