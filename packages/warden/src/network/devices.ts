/**
 * What the devices of a namespace are to one another, and changes to them, sent as one batch.
 *
 * Invariants: a batch stops at the first line that fails, and then says which.
 */
import { existsSync } from "node:fs";
import type { Device, NetworkNamespace } from "../datapath/namespace.ts";

export function deviceNamed(devices: readonly Device[], name: string): Device | undefined {
  return devices.find(({ ifname }) => ifname === name);
}

export function isUp({ flags }: Device): boolean {
  return flags.includes("UP");
}

/** `192.0.2.10/24`, in order; without those of the link alone. */
export function addressesOf({ addr_info: found }: Device): readonly string[] {
  return found
    .filter(({ scope }) => scope !== "link")
    .map(({ local, prefixlen }) => `${local}/${prefixlen}`)
    .toSorted();
}

/** The two ends of one veth name each other's index. */
export function isWire(near: Device, far: Device): boolean {
  return near.link_index === far.ifindex && far.link_index === near.ifindex;
}

/** Lines for `ip -batch`, without the leading `ip`; each word was checked where it came from. */
export async function changeDevices(
  namespace: NetworkNamespace,
  lines: readonly (readonly string[])[],
): Promise<void> {
  if (lines.length === 0) return;
  const input = lines.map((words) => `${words.join(" ")}\n`).join("");
  await namespace.run(["ip", "-batch", "-"], { input });
}

/** Kernel parameters of the namespace, as `net.ipv4.ip_forward`; those of an IPv6 that this kernel lacks are left out. */
export async function setSysctls(
  namespace: NetworkNamespace,
  values: readonly (readonly [key: string, value: string])[],
): Promise<void> {
  const six = existsSync("/proc/sys/net/ipv6");
  const known = values.filter(([key]) => six || !key.startsWith("net.ipv6."));
  // /proc/sys/net is that of the namespace of whoever opens it.
  await namespace.run(["sysctl", "-q", "-w", ...known.map(([key, value]) => `${key}=${value}`)]);
}
