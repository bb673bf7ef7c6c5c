/**
 * A port: a wire from a segment's bridge into an instrument's namespace, with a layer of rules at each end.
 *
 * Invariants: both ends are down until both layers are in place; a change replaces each layer in one transaction; the
 * bridge's ports are isolated from one another; the namespace's tag says from which words of the site it was made and
 * which rules the kernel then held, so that a missing or altered rule is noticed. Idempotent; completes what is missing.
 */
import type { Commands } from "../commands.ts";
import { nameState } from "../datapath/named-namespaces.ts";
import { type Device, type NetworkNamespace, observeDevices } from "../datapath/namespace.ts";
import type { NamespaceView } from "../datapath/namespace-census.ts";
import { WardenError } from "../error.ts";
import { renderBridgeRules } from "./bridge-rules.ts";
import { addressesOf, changeDevices, deviceNamed, isUp, isWire } from "./devices.ts";
import { hasAddresses, setAddresses, type WantedAddresses } from "./device-addresses.ts";
import { instrumentTable, renderInstrumentRules } from "./instrument-rules.ts";
import { devicesIfThere, ensureJoinedNamespace, joinedNamespace, writeTag } from "./joined-namespace.ts";
import {
  bridgeName,
  instrumentDevice,
  type JoinedTag,
  macPrefix,
  parsePortTag,
  parseSegmentTag,
  portDeviceName,
  portMac,
  renderPortTag,
  segmentNamespaceName,
  uplinkName,
} from "./network-names.ts";
import { egressFlows, listenFlows, type PortPolicy } from "./port-policy.ts";
import { setRules, tableDigest } from "./ruleset.ts";
import { segmentNamespace } from "./segment.ts";

export interface PortSpec {
  readonly instrument: string;
  readonly segment: string;
  readonly listen: readonly string[];
  readonly egress: readonly string[];
  readonly addresses: WantedAddresses;
  /** The uid of the DHCP client; null for a static address. */
  readonly dhcpUid: number | null;
  readonly policy: string;
}

/**
 * @param machine tells this host from others on the same segment
 * @throws WardenError `datapath-namespace-foreign`, `network-segment-missing`
 */
export async function connectPort(
  commands: Commands,
  slug: string,
  machine: string,
  port: PortSpec,
): Promise<void> {
  const { instrument } = port;
  const segment = segmentNamespace(commands, slug, port.segment);
  const inside = joinedNamespace(commands, slug, instrument);
  const there = (await nameState(segmentNamespaceName(slug, port.segment))) === "namespace";
  const outer = there ? await observeDevices(segment) : [];
  const bridge = deviceNamed(outer, bridgeName);
  if (bridge === undefined) {
    throw new WardenError("network-segment-missing", `the segment ${port.segment} is not there`, {
      fields: { segment: port.segment, instrument },
    });
  }
  const inner = await ensureJoinedNamespace(commands, slug, instrument);
  const tag: JoinedTag = { instrument, kind: "port", policy: port.policy, rules: "-" };
  await writeTag(inside, slug, { ...tag, policy: "-" });
  const policy = policyOf(slug, machine, port);
  await setRules(inside, renderInstrumentRules(policy));
  const device = portDeviceName(slug, instrument);
  const mtu = String(deviceNamed(outer, uplinkName)?.mtu ?? bridge.mtu);
  await ensureWire({ segment, inside, device, mac: policy.mac, mtu, outer, inner });
  await segment.run([
    "ip",
    "link",
    "set",
    "dev",
    device,
    "alias",
    renderPortTag(slug, port.segment, instrument),
  ]);
  await setRules(segment, renderBridgeRules(device, policy));
  const near = deviceNamed(await observeDevices(inside), instrumentDevice);
  if (near === undefined)
    throw new WardenError("network-port-missing", `the port of ${instrument} went away`);
  await changeDevices(segment, [
    ["link", "set", "dev", device, "addrgenmode", "none", "master", bridgeName],
    ["link", "set", "dev", device, "type", "bridge_slave", "isolated", "on"],
    ["link", "set", "dev", device, "up"],
  ]);
  await setAddresses(inside, near, port.addresses);
  const rules = await rulesDigest(segment, inside, device);
  await writeTag(inside, slug, { ...tag, rules: rules ?? "-" });
}

/** Removes the wire, and with it the rules at the segment's end. Idempotent. */
export async function disconnectPort(commands: Commands, slug: string, instrument: string): Promise<void> {
  const devices = await devicesIfThere(commands, slug, instrument);
  if (devices === null || deviceNamed(devices, instrumentDevice) === undefined) return;
  await joinedNamespace(commands, slug, instrument).run(["ip", "link", "del", "dev", instrumentDevice]);
}

export interface PortState {
  readonly segment: string | null;
  readonly whole: boolean;
  readonly addresses: readonly string[];
}

/**
 * What the kernel has of a port.
 *
 * @param views all namespaces of the installation
 * @param expected the addresses that shall be set; null where nobody knows (a lease that was not renewed yet)
 */
export async function observePort(
  slug: string,
  tag: JoinedTag,
  { devices, namespace: inside }: NamespaceView,
  views: readonly NamespaceView[],
  expected: WantedAddresses | null,
): Promise<PortState> {
  const device = portDeviceName(slug, tag.instrument);
  const near = deviceNamed(devices, instrumentDevice);
  for (const view of views) {
    const segment = parseSegmentTag(slug, view.tag)?.segment;
    const far = deviceNamed(view.devices, device);
    if (segment === undefined || parsePortTag(slug, far?.ifalias)?.instrument !== tag.instrument) continue;
    if (near === undefined || far === undefined || !isWire(near, far)) {
      return { segment, whole: false, addresses: [] };
    }
    const isolated = far.linkinfo?.info_slave_data?.isolated === true;
    const up = isUp(near) && isUp(far) && far.master === bridgeName && isolated;
    const known = expected === null || hasAddresses(near, expected);
    const intact =
      up && known && tag.rules !== "-" && (await rulesDigest(view.namespace, inside, device)) === tag.rules;
    return { segment, whole: intact, addresses: addressesOf(near) };
  }
  return { segment: null, whole: false, addresses: near === undefined ? [] : addressesOf(near) };
}

function policyOf(slug: string, machine: string, port: PortSpec): PortPolicy {
  const of = (family: "ipv4" | "ipv6") =>
    port.addresses.addresses.flatMap((a) => (a.family === family ? [a.address] : []));
  const six = of("ipv6");
  const { linkLocal } = port.addresses;
  return {
    mac: portMac(machine, slug, port.instrument),
    instrumentsMac: macPrefix(machine, slug),
    ipv4: of("ipv4"),
    ipv6: six.length > 0 && linkLocal !== null ? [...six, linkLocal] : six,
    listen: listenFlows(port.listen),
    egress: egressFlows(port.egress),
    dhcpUid: port.dhcpUid,
  };
}

/** A wire of which one end is elsewhere, or of another make, is made anew: both ends down. */
async function ensureWire(wire: {
  readonly segment: NetworkNamespace;
  readonly inside: NetworkNamespace;
  readonly device: string;
  readonly mac: string;
  readonly mtu: string;
  readonly outer: readonly Device[];
  readonly inner: readonly Device[];
}): Promise<void> {
  const { segment, inside, device, mac, mtu } = wire;
  const far = deviceNamed(wire.outer, device);
  const near = deviceNamed(wire.inner, instrumentDevice);
  const joined = far !== undefined && near !== undefined && isWire(near, far);
  if (joined && near.address === mac && String(near.mtu) === mtu) return;
  if (far !== undefined) await segment.run(["ip", "link", "del", "dev", device]);
  if (near !== undefined && !joined) await inside.run(["ip", "link", "del", "dev", instrumentDevice]);
  const peer = ["name", instrumentDevice, "address", mac, "mtu", mtu, "netns", inside.path ?? ""];
  await changeDevices(segment, [
    ["link", "add", "name", device, "mtu", mtu, "type", "veth", "peer", ...peer],
  ]);
  await inside.run(["ip", "link", "set", "dev", instrumentDevice, "addrgenmode", "none"]);
}

/** Of both layers; null where one is missing. */
async function rulesDigest(
  segment: NetworkNamespace,
  inside: NetworkNamespace,
  device: string,
): Promise<string | null> {
  const outer = await tableDigest(segment, { family: "netdev", name: device });
  const inner = await tableDigest(inside, { family: "inet", name: instrumentTable });
  return outer === null || inner === null ? null : outer + inner;
}
