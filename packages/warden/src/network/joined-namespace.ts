/**
 * The network namespace that an instrument with a port or a device of its own joins: made whole by warden before the
 * container starts, and outliving it.
 *
 * Invariants: it belongs to the host's user namespace, so nobody in the container has a capability over it; nothing
 * is forwarded; IPv6 is off until a device is given an IPv6 address; the alias of `lo` says whose it is, what it was
 * made from and which rules it holds. Any port may be listened on, because no capability is needed for it.
 */
import { readlink } from "node:fs/promises";
import type { Commands } from "../commands.ts";
import { nullIfMissing } from "../site/read-file.ts";
import { nameState, namespaceDirectory } from "../datapath/named-namespaces.ts";
import { type Device, namespaceAt, type NetworkNamespace, observeDevices } from "../datapath/namespace.ts";
import { WardenError } from "../error.ts";
import { changeDevices, deviceNamed, isUp, setSysctls } from "./devices.ts";
import { joinedNamespaceName, type JoinedTag, parseJoinedTag, renderJoinedTag } from "./network-names.ts";

/** A handle; it need not exist. */
export function joinedNamespace(commands: Commands, slug: string, instrument: string): NetworkNamespace {
  return namespaceNamed(commands, joinedNamespaceName(slug, instrument));
}

export function namespaceNamed(commands: Commands, name: string): NetworkNamespace {
  return namespaceAt(commands, `${namespaceDirectory}/${name}`);
}

/**
 * Makes it or completes what is missing. Idempotent.
 *
 * @returns what is in it
 * @throws WardenError `datapath-namespace-foreign`
 */
export async function ensureJoinedNamespace(
  commands: Commands,
  slug: string,
  instrument: string,
): Promise<readonly Device[]> {
  const name = joinedNamespaceName(slug, instrument);
  const namespace = joinedNamespace(commands, slug, instrument);
  const devices = await ensureNamespace(
    commands,
    name,
    (tag) => parseJoinedTag(slug, tag)?.instrument === instrument,
  );
  await setSysctls(namespace, [
    ["net.ipv6.conf.default.disable_ipv6", "1"],
    ["net.ipv6.conf.default.accept_ra", "0"],
    ["net.ipv6.conf.default.autoconf", "0"],
    ["net.ipv6.conf.default.router_solicitations", "0"],
    ["net.ipv4.ip_forward", "0"],
    ["net.ipv4.conf.all.accept_redirects", "0"],
    ["net.ipv4.conf.default.accept_redirects", "0"],
    ["net.ipv4.ip_unprivileged_port_start", "0"],
  ]);
  await changeDevices(namespace, [["link", "set", "dev", "lo", "up"]]);
  return devices;
}

/**
 * Makes a namespace of this name, or takes the one that is there if its tag is ours, or if it has none and nothing in
 * it is up: ours, interrupted before its tag.
 */
export async function ensureNamespace(
  commands: Commands,
  name: string,
  isOurs: (tag: string) => boolean,
): Promise<readonly Device[]> {
  const state = await nameState(name);
  if (state === "stale") await commands.run(["ip", "netns", "del", name]);
  if (state !== "namespace") await commands.run(["ip", "netns", "add", name]);
  const devices = await observeDevices(namespaceNamed(commands, name));
  const tag = deviceNamed(devices, "lo")?.ifalias;
  if (tag === undefined ? !devices.some(isUp) : isOurs(tag)) return devices;
  throw new WardenError("datapath-namespace-foreign", `${name} was not made by this installation`, {
    fields: { name, tag: tag ?? null },
  });
}

export async function writeTag(namespace: NetworkNamespace, slug: string, tag: JoinedTag): Promise<void> {
  await namespace.run(["ip", "link", "set", "dev", "lo", "alias", renderJoinedTag(slug, tag)]);
}

/**
 * Removes the name, unless processes of a container are in it: then it is kept for the next look, since a container that is to stay
 * would otherwise be left in a namespace that nobody can reach. Devices of the host must have been given back before.
 */
export async function removeJoinedNamespace(
  commands: Commands,
  slug: string,
  instrument: string,
): Promise<void> {
  const devices = await devicesIfThere(commands, slug, instrument);
  if (devices === null) return;
  const name = joinedNamespaceName(slug, instrument);
  const { stdout } = await commands.run(["ip", "netns", "pids", name]);
  // Listeners of warden's own are in it too; a container's processes are in another user namespace.
  const own = await readlink("/proc/self/ns/user");
  for (const pid of stdout.split("\n").filter(Boolean)) {
    const other = await readlink(`/proc/${pid}/ns/user`).catch(nullIfMissing);
    if (other !== null && other !== own) return;
  }
  await commands.run(["ip", "netns", "del", name]);
}

/** What is in the instrument's namespace; null where there is none of ours. */
export async function devicesIfThere(
  commands: Commands,
  slug: string,
  instrument: string,
): Promise<readonly Device[] | null> {
  if ((await nameState(joinedNamespaceName(slug, instrument))) !== "namespace") return null;
  const devices = await observeDevices(joinedNamespace(commands, slug, instrument));
  return parseJoinedTag(slug, deviceNamed(devices, "lo")?.ifalias) === null ? null : devices;
}
