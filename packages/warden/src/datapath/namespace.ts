/**
 * A network namespace, entered by one path for all purposes, and what iproute2 says is in it.
 *
 * Invariants: programs run inside by `nsenter --net=PATH`, so an engine's namespace (a name under /run/netns), an
 * instrument's (an open descriptor) and the host's own are handled alike; output is validated before use.
 * It changes nothing by itself: callers give the argv.
 */
import { existsSync } from "node:fs";
import * as z from "zod";
import type { Commands, RunOptions } from "../commands.ts";

/** Runs programs inside one network namespace. */
export interface NetworkNamespace {
  /** A path that `nsenter --net=` and `ip link set … netns` take; null for the namespace that warden itself is in. */
  readonly path: string | null;
  /** As Commands.run, inside; @throws the same. */
  run(argv: readonly string[], options?: RunOptions): Promise<{ readonly stdout: string }>;
}

/** A network device as `ip -s -d -j link` shows it. */
export type Link = z.infer<typeof Link>;

/** A network device with its addresses and what it is to a bridge, as `ip -s -d -j addr` shows it. */
export type Device = z.infer<typeof Device>;

/** The namespace that warden runs in. */
export function hostNamespace(commands: Commands): NetworkNamespace {
  return { path: null, run: (argv, options) => commands.run(argv, options) };
}

/** The namespace at a path, such as /run/netns/NAME. */
export function namespaceAt(commands: Commands, path: string): NetworkNamespace {
  const enter = ["nsenter", `--net=${path}`, "--"];
  return { path, run: (argv, options) => commands.run([...enter, ...argv], options) };
}

/** Every device in the namespace, with its counters. */
export async function observeLinks(namespace: NetworkNamespace): Promise<readonly Link[]> {
  const { stdout } = await namespace.run(["ip", "-s", "-d", "-j", "link", "show"]);
  return z.array(Link).parse(JSON.parse(stdout || "[]"));
}

/** As observeLinks, with addresses. */
export async function observeDevices(namespace: NetworkNamespace): Promise<readonly Device[]> {
  const { stdout } = await namespace.run(["ip", "-s", "-d", "-j", "addr", "show"]);
  return z.array(Device).parse(JSON.parse(stdout || "[]"));
}

/** One device by name; undefined where there is none. */
export async function observeLink(namespace: NetworkNamespace, name: string): Promise<Link | undefined> {
  return (await observeLinks(namespace)).find((link) => link.ifname === name);
}

/** True if every one of these flags (`UP`, `NOARP`, …) is set. */
export function hasFlags(link: Link, ...flags: readonly string[]): boolean {
  return flags.every((flag) => link.flags.includes(flag));
}

/** Turns IPv6 off for every device that is or comes in the namespace; a kernel without IPv6 needs nothing. */
export async function disableIpv6(namespace: NetworkNamespace): Promise<void> {
  if (!existsSync("/proc/sys/net/ipv6")) return;
  // /proc/sys/net is that of the namespace of whoever opens it, so it has to be written by a process inside.
  const files = ["all", "default"].map((which) => `/proc/sys/net/ipv6/conf/${which}/disable_ipv6`);
  await namespace.run(["tee", ...files], { input: "1\n" });
}

const counts = z.object({ packets: z.number(), bytes: z.number(), dropped: z.number(), errors: z.number() });

const LinkInfo = z.object({ info_kind: z.string().optional() });

const Link = z.object({
  ifindex: z.number(),
  ifname: z.string(),
  /** The other end of a veth, in the namespace `link_netnsid`. */
  link_index: z.number().optional(),
  link_netnsid: z.number().optional(),
  flags: z.array(z.string()),
  mtu: z.number(),
  max_mtu: z.number().optional(),
  operstate: z.string(),
  link_type: z.string(),
  /** Hardware address. */
  address: z.string().optional(),
  master: z.string().optional(),
  ifalias: z.string().optional(),
  inet6_addr_gen_mode: z.string().optional(),
  /** Mode 1 is the driver's own (native) hook. */
  xdp: z
    .object({ mode: z.number().optional(), prog: z.object({ name: z.string().optional() }).optional() })
    .optional(),
  linkinfo: LinkInfo.optional(),
  stats64: z.object({
    rx: counts.extend({ missed_errors: z.number().optional(), over_errors: z.number().optional() }),
    tx: counts,
  }),
});

const Device = Link.extend({
  linkinfo: LinkInfo.extend({
    info_slave_data: z.object({ isolated: z.boolean().optional() }).optional(),
  }).optional(),
  addr_info: z.array(z.object({ local: z.string(), prefixlen: z.number(), scope: z.string() })).default([]),
});
