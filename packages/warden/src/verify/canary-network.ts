/**
 * The canary's port on a segment, or its dedicated device: made by the code that makes an instrument's, on a stand-in
 * device whose far end is a machine of the network, in a namespace that leads nowhere else.
 *
 * Invariants: real segments and devices are never touched; listen and egress are the instrument's own words, addresses
 * the stand-in's. The far end counts frames that no instrument may send, by rules of its own. Layers are taken away
 * here, of the canary alone.
 */
import type { DesiredPort } from "@bulkhead/core";
import { CANARY_NAME, type ContainmentLayer } from "@bulkhead/schema";
import type { Commands } from "../commands.ts";
import { staticAddresses } from "../network/device-addresses.ts";
import { instrumentTable } from "../network/instrument-rules.ts";
import { joinedNamespace, namespaceNamed, removeJoinedNamespace } from "../network/joined-namespace.ts";
import { machineId } from "../network/machine-id.ts";
import {
  bridgeName,
  linkLocalAddress,
  portDeviceName,
  portMac,
  renderPortTag,
} from "../network/network-names.ts";
import { giveNic, returnNic } from "../network/nic.ts";
import { connectPort, disconnectPort } from "../network/port.ts";
import { removeTable, setRules } from "../network/ruleset.ts";
import { ensureSegment, removeSegment, segmentNamespace } from "../network/segment.ts";

/** Longer by one than any name of a site may be. */
export const CANARY_SEGMENT = "canary-segment-for-proofs";
/** The canary's own; of the machine that it sees; of the stand-in for another instrument. */
const OWN = ["192.0.2.10/24", "198.51.100.10/24", "2001:db8:7::10/64"] as const;
const NEIGHBOUR = ["192.0.2.53/24", "169.254.169.254/32", "2001:db8:7::53/64"] as const;
const OTHER = "198.51.100.54/24";
const GATEWAY = "192.0.2.53";
const OTHER_DEVICE = "qother";
/** uid of the DHCP client, as instruments have it. */
const CLIENT_UID = 65_534;

/** What nobody with these rules may send: counted, and let through, at the far end. */
const WATCH = (device: string): string => `table netdev watch
delete table netdev watch
table netdev watch {
  counter lies { }
  chain in {
    type filter hook ingress device "${device}" priority 0; policy accept;
    ether saddr 02:cc:cc:cc:cc:99 counter name lies
    ether type 0x88b5 counter name lies
    vlan id 20 counter name lies
    ip saddr 192.0.2.99 counter name lies
    arp saddr ip 192.0.2.99 counter name lies
    ip6 saddr fe80::99 counter name lies
    icmpv6 type nd-router-advert counter name lies
    udp sport 67 counter name lies
  }
}
`;

export interface CanaryNetwork {
  /** @param device of the host, whose other end is `farDevice` in the namespace `far`; both are down */
  connect(
    kind: "port" | "nic",
    place: { readonly far: string; readonly farDevice: string; readonly device: string },
    real: DesiredPort | null,
    without: ReadonlySet<ContainmentLayer>,
  ): Promise<void>;
  remove(): Promise<void>;
}

export function canaryNetwork(commands: Commands, slug: string): CanaryNetwork {
  const ip = async (...args: readonly string[]): Promise<void> => void (await commands.run(["ip", ...args]));

  const connectCanaryPort = async (
    far: string,
    device: string,
    real: DesiredPort | null,
    without: ReadonlySet<ContainmentLayer>,
  ): Promise<void> => {
    const machine = await machineId();
    await ensureSegment(commands, slug, { segment: CANARY_SEGMENT, device, vlan: null }, false);
    const segment = segmentNamespace(commands, slug, CANARY_SEGMENT);
    await connectPort(commands, slug, machine, {
      instrument: CANARY_NAME,
      segment: CANARY_SEGMENT,
      listen: real?.listen ?? [],
      egress: real?.egress ?? [],
      policy: "0",
      addresses: staticAddresses(
        { addresses: OWN, gateways: [GATEWAY] },
        linkLocalAddress(portMac(machine, slug, CANARY_NAME)),
      ),
      dhcpUid: real?.address === "dhcp" ? CLIENT_UID : null,
    });
    await connectOther(far);
    if (without.has("port-isolation"))
      for (const port of [OTHER_DEVICE, portDeviceName(slug, CANARY_NAME)])
        await segment.run(["ip", "link", "set", "dev", port, "type", "bridge_slave", "isolated", "off"]);
    if (without.has("segment-rules"))
      await removeTable(segment, { family: "netdev", name: portDeviceName(slug, CANARY_NAME) });
    if (without.has("instrument-rules"))
      await removeTable(joinedNamespace(commands, slug, CANARY_NAME), {
        family: "inet",
        name: instrumentTable,
      });
  };

  /** Another instrument's port: a wire on the same bridge, isolated as theirs are. */
  const connectOther = async (far: string): Promise<void> => {
    const segment = segmentNamespace(commands, slug, CANARY_SEGMENT);
    const peer = ["type", "veth", "peer", "name", "oth0", "netns", `/run/netns/${far}`];
    await segment.run(["ip", "link", "add", "name", OTHER_DEVICE, ...peer]);
    // An alias holds blanks; by it the segment's removal finds the wire.
    const alias = renderPortTag(slug, CANARY_SEGMENT, CANARY_NAME);
    await segment.run(["ip", "link", "set", "dev", OTHER_DEVICE, "alias", alias]);
    await segment.run([
      ...["ip", "link", "set", "dev", OTHER_DEVICE, "addrgenmode", "none", "master", bridgeName],
    ]);
    await segment.run(["ip", "link", "set", "dev", OTHER_DEVICE, "type", "bridge_slave", "isolated", "on"]);
    await segment.run(["ip", "link", "set", "dev", OTHER_DEVICE, "up"]);
    await ip("-n", far, "addr", "add", OTHER, "dev", "oth0");
    await ip("-n", far, "link", "set", "dev", "oth0", "up");
  };

  return {
    async connect(kind, { far, farDevice, device }, real, without) {
      const farSide = namespaceNamed(commands, far);
      // Each of its devices answers for its own addresses alone, as two machines would.
      for (const [key, value] of [
        ["arp_ignore", "1"],
        ["rp_filter", "0"],
      ])
        await farSide.run(["sysctl", "-qw", `net.ipv4.conf.all.${key}=${value}`]);
      await ip("-n", far, "link", "set", "dev", "lo", "up");
      await ip("-n", far, "link", "set", "dev", farDevice, "addrgenmode", "none", "up");
      for (const address of NEIGHBOUR) {
        const nodad = address.includes(":") ? ["nodad"] : [];
        await ip("-n", far, "addr", "add", address, ...nodad, "dev", farDevice);
      }
      await setRules(farSide, WATCH(farDevice));
      if (kind === "port") return connectCanaryPort(far, device, real, without);
      const addresses = staticAddresses({ addresses: OWN, gateways: [GATEWAY] }, null);
      await giveNic(commands, slug, { instrument: CANARY_NAME, device, policy: "0", addresses });
    },

    async remove() {
      await disconnectPort(commands, slug, CANARY_NAME);
      await returnNic(commands, slug, CANARY_NAME);
      await removeJoinedNamespace(commands, slug, CANARY_NAME);
      await removeSegment(commands, slug, CANARY_SEGMENT);
    },
  };
}
