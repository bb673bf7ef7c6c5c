/**
 * A segment's shape: which device of its namespace is the bridge's way out, and whether all of it is there. Pure.
 *
 * With a VLAN, the bridge's way out is a VLAN device over the host's device: frames of the segment leave with its tag,
 * and of what comes only that VLAN's frames reach the bridge.
 */
import type { ObservedSegment } from "@bulkhead/schema";
import type { Device } from "../datapath/namespace.ts";
import { deviceNamed, isUp } from "./devices.ts";
import { bridgeName, type SegmentTag, uplinkName, vlanName } from "./network-names.ts";

/** Lines for `ip -batch` that give the bridge its way out; `devices` is what the namespace held before. */
export function uplinkLines(vlan: number | null, devices: readonly Device[]): readonly (readonly string[])[] {
  const uplink = vlan === null ? uplinkName : vlanName;
  return [
    ["link", "set", "dev", uplinkName, "arp", "off"],
    ...(vlan === null || deviceNamed(devices, vlanName) !== undefined
      ? []
      : [["link", "add", "link", uplinkName, "name", vlanName, "type", "vlan", "id", String(vlan)]]),
    ["link", "set", "dev", uplink, "master", bridgeName],
    ["link", "set", "dev", uplinkName, "up"],
    ["link", "set", "dev", uplink, "up"],
  ];
}

/** @param held whether the host's device lies in the namespace */
export function segmentState(
  { vlan }: Pick<SegmentTag, "vlan">,
  devices: readonly Device[],
  held: boolean,
): ObservedSegment["state"] {
  const bridge = deviceNamed(devices, bridgeName);
  if (bridge === undefined || !isUp(bridge)) return "incomplete";
  if (!held) return "waiting";
  const uplink = deviceNamed(devices, vlan === null ? uplinkName : vlanName);
  if (uplink === undefined) return vlan === null ? "incomplete" : "waiting";
  return isUp(uplink) && uplink.master === bridgeName ? "ready" : "incomplete";
}
