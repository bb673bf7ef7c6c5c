/**
 * A segment: a bridge in a network namespace of warden's, with a device of the host (or a VLAN of it) as its way out.
 *
 * Invariants: the namespace has no address and forwards nothing by IP, so the host and its services are out of the
 * segment's reach; the bridge does not speak by itself (no spanning tree, no multicast queries, no IPv6). The bridge
 * is there while its device is away, and takes it when it comes.
 */
import type { ObservedSegment } from "@bulkhead/schema";
import type { Commands } from "../commands.ts";
import { nameState } from "../datapath/named-namespaces.ts";
import { type NetworkNamespace, observeDevices } from "../datapath/namespace.ts";
import type { NamespaceView } from "../datapath/namespace-census.ts";
import { isWardenError } from "../error.ts";
import { changeDevices, deviceNamed, setSysctls } from "./devices.ts";
import { findHeldDevice, returnDevice, takeDevice } from "./held-device.ts";
import { ensureNamespace, namespaceNamed } from "./joined-namespace.ts";
import {
  bridgeName,
  parsePortTag,
  parseSegmentTag,
  renderSegmentTag,
  segmentNamespaceName,
  type SegmentTag,
  uplinkName,
  vlanName,
} from "./network-names.ts";
import { segmentState, uplinkLines } from "./segment-shape.ts";

export function segmentNamespace(commands: Commands, slug: string, segment: string): NetworkNamespace {
  return namespaceNamed(commands, segmentNamespaceName(slug, segment));
}

/**
 * Makes the segment or completes it; without its device it waits. Idempotent. One of another device or VLAN is to be
 * removed before.
 *
 * @throws WardenError `datapath-namespace-foreign`, `datapath-span-claimed`, `datapath-span-in-use`
 */
export async function ensureSegment(
  commands: Commands,
  slug: string,
  { segment, device, vlan }: SegmentTag,
  vlanDevices: boolean,
): Promise<void> {
  const namespace = segmentNamespace(commands, slug, segment);
  const tag = renderSegmentTag(slug, { segment, device, vlan });
  const name = segmentNamespaceName(slug, segment);
  const devices = await ensureNamespace(commands, name, (found) => found === tag);
  await namespace.run(["ip", "link", "set", "dev", "lo", "alias", tag]);
  await setSysctls(namespace, [
    ["net.ipv6.conf.all.disable_ipv6", "1"],
    ["net.ipv6.conf.default.disable_ipv6", "1"],
    ["net.ipv4.ip_forward", "0"],
  ]);
  const silent = ["stp_state", "0", "mcast_snooping", "0", "mcast_querier", "0"];
  await changeDevices(namespace, [
    ...(deviceNamed(devices, bridgeName) === undefined
      ? [["link", "add", "name", bridgeName, "type", "bridge", ...silent]]
      : []),
    ["link", "set", "dev", bridgeName, "arp", "off", "addrgenmode", "none", "up"],
  ]);
  const there =
    deviceNamed(devices, uplinkName) !== undefined ||
    (await takeDevice(commands, slug, { holder: segment, device }, namespace, uplinkName));
  if (!there || (vlan !== null && !vlanDevices)) return;
  await changeDevices(namespace, uplinkLines(vlan, devices));
}

/** Gives the device back and removes the namespace, with the ports' ends in it. Idempotent. */
export async function removeSegment(commands: Commands, slug: string, segment: string): Promise<void> {
  const name = segmentNamespaceName(slug, segment);
  if ((await nameState(name)) !== "namespace") return;
  const namespace = segmentNamespace(commands, slug, segment);
  const devices = await observeDevices(namespace);
  if (parseSegmentTag(slug, deviceNamed(devices, "lo")?.ifalias) === null) return;
  // A wire would live on for a moment after the name is gone; a VLAN device holds its uplink.
  const ends = devices.filter((d) => d.ifname === vlanName || parsePortTag(slug, d.ifalias) !== null);
  await changeDevices(
    namespace,
    ends.map(({ ifname }) => ["link", "del", "dev", ifname]),
  );
  await returnDevice(namespace, slug);
  await commands.run(["ip", "netns", "del", name]);
}

export function segmentsOf(views: readonly NamespaceView[], slug: string): readonly ObservedSegment[] {
  return views.flatMap(({ name, tag, devices }) => {
    const found = parseSegmentTag(slug, tag);
    if (found === null || segmentNamespaceName(slug, found.segment) !== name) return [];
    return [{ ...found, state: segmentState(found, devices, findHeldDevice(devices, slug) !== null) }];
  });
}

/** Tries it, in a namespace that ends with the trial. */
export async function canMakeVlans(commands: Commands): Promise<boolean> {
  const trial = "link add d0 type veth peer name d1\nlink add link d0 name v0 type vlan id 2\n";
  try {
    await commands.run(["unshare", "--net", "ip", "-batch", "-"], { input: trial });
    return true;
  } catch (error) {
    if (isWardenError(error, "command-failed")) return false;
    throw error;
  }
}
