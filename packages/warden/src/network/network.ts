/**
 * Segments, ports and dedicated devices of one installation: all of them that the kernel holds, and the steps that
 * change them.
 *
 * Invariants: kernel objects are the only state, beside the leases that address clients hold; every step is idempotent
 * and completes what is missing. A lease that comes, changes or goes is only a hint: the next look finds the port not
 * as it should be, and the step that follows sets addresses and rules together. What should exist is decided elsewhere.
 */
import type { DesiredNic, DesiredPort } from "@bulkhead/core";
import {
  type Addressing,
  type IpRange,
  isInNetworks,
  type Observed,
  parseInterfaceAddress,
  type PortReport,
} from "@bulkhead/schema";
import type { Commands } from "../commands.ts";
import { namespaceDirectory } from "../datapath/named-namespaces.ts";
import { type NetworkNamespace, observeDevices } from "../datapath/namespace.ts";
import type { NamespaceView } from "../datapath/namespace-census.ts";
import { isWardenError } from "../error.ts";
import { AddressClients, leaseAddresses } from "./address.ts";
import { NO_ADDRESSES, staticAddresses, type WantedAddresses } from "./device-addresses.ts";
import type { Lease } from "./lease.ts";
import { addressesOf, deviceNamed } from "./devices.ts";
import { devicesIfThere, joinedNamespace, removeJoinedNamespace } from "./joined-namespace.ts";
import {
  instrumentDevice,
  joinedNamespaceName,
  type JoinedTag,
  linkLocalAddress,
  parseJoinedTag,
  portMac,
  segmentNamespaceName,
  type SegmentTag,
} from "./network-names.ts";
import { giveNic, nicStateOf, returnNic } from "./nic.ts";
import { machineId } from "./machine-id.ts";
import { connectPort, disconnectPort, observePort } from "./port.ts";
import { reportPort } from "./port-report.ts";
import { canMakeVlans, ensureSegment, removeSegment, segmentsOf } from "./segment.ts";

/** What the caller knows and the kernel does not. */
export interface KnownNetwork {
  readonly ports: readonly DesiredPort[];
  readonly nics: readonly DesiredNic[];
}

export interface Network {
  /** @param views what a census has just found */
  observe(
    known: KnownNetwork,
    views: readonly NamespaceView[],
  ): Promise<Pick<Observed, "segments" | "ports" | "nics" | "vlanDevices">>;
  createSegment(segment: SegmentTag): Promise<void>;
  removeSegment(segment: string): Promise<void>;
  connectPort(port: DesiredPort): Promise<void>;
  disconnectPort(instrument: string): Promise<void>;
  giveNic(nic: DesiredNic): Promise<void>;
  returnNic(instrument: string): Promise<void>;
  /** Counts and last refusals of each port. */
  report(ports: readonly DesiredPort[]): Promise<readonly PortReport[]>;
  /** What the last look was told of ports. */
  wantedPorts(): readonly DesiredPort[];
  /** Names of the namespaces in which a change is worth a look. */
  namespacesOf(found: Pick<Observed, "segments" | "ports" | "nics">): readonly string[];
}

export interface NetworkOptions {
  readonly commands: Commands;
  readonly slug: string;
  readonly libDir: string;
  /** Of the DHCP clients: an unprivileged uid that owns nothing. `nobody` by default. */
  readonly clientUid?: number;
  /** Calls back when a lease changed. */
  readonly onHint: () => void;
}

export async function kernelNetwork(options: NetworkOptions): Promise<Network> {
  const { commands, slug, libDir, clientUid = 65_534, onHint } = options;
  const machine = await machineId();
  const vlanDevices = await canMakeVlans(commands);
  let known: KnownNetwork = { ports: [], nics: [] };
  const clients: AddressClients = new AddressClients({
    libDir,
    uid: clientUid,
    objection: (key, address) => objection(key, address, known, clients),
    onChange: (key) => {
      const found = clients.state(key);
      if (found.state === "bound") void extendLease(joinedNamespace(commands, slug, key), found.lease);
      onHint();
    },
  });
  await clients.prepare();

  /** Null where nobody knows: what a lease gave before warden began is kept until the server has answered. */
  const expected = (instrument: string, address: Addressing | null): WantedAddresses | null => {
    if (address === null) return NO_ADDRESSES;
    if (address !== "dhcp")
      return staticAddresses(address, linkLocalAddress(portMac(machine, slug, instrument)));
    const found = clients.state(instrument);
    if (found.state === "bound") return leaseAddresses(found.lease);
    return found.state === "lost" ? NO_ADDRESSES : null;
  };
  const current = async (instrument: string, address: Addressing | null): Promise<WantedAddresses> => {
    const wanted = expected(instrument, address);
    if (wanted !== null) return wanted;
    const device = deviceNamed((await devicesIfThere(commands, slug, instrument)) ?? [], instrumentDevice);
    const set = device === undefined ? [] : addressesOf(device);
    return { ...NO_ADDRESSES, addresses: set.flatMap((text) => parseInterfaceAddress(text) ?? []) };
  };

  return {
    async observe(next, views) {
      known = next;
      const ports: Observed["ports"] = [];
      const nics: Observed["nics"] = [];
      const joined = joinedOf(slug, views);
      const present = joined.map(({ tag }) => tag.instrument);
      clients.follow(dhcpTargets(slug, present, known));
      for (const { tag, view } of joined) {
        const { instrument } = tag;
        const policy = tag.policy === "-" ? null : tag.policy;
        if (tag.kind === "port") {
          const address = known.ports.find((p) => p.instrument === instrument)?.address ?? "dhcp";
          const noLease = address === "dhcp" ? clients.noLease(instrument) : null;
          const found = await observePort(slug, tag, view, views, expected(instrument, address));
          const state = found.whole ? "connected" : "broken";
          const addresses = [...found.addresses];
          ports.push({ instrument, segment: found.segment, state, policy, addresses, noLease });
        } else {
          const nic = known.nics.find((n) => n.instrument === instrument);
          const wanted = nic === undefined ? null : expected(instrument, nic.address);
          const found = nicStateOf(view, slug, wanted);
          const state = found.device === null ? "waiting" : found.whole ? "given" : "broken";
          const noLease = nic?.address === "dhcp" ? clients.noLease(instrument) : null;
          const addresses = [...found.addresses];
          nics.push({ instrument, device: found.device, state, policy, addresses, noLease });
        }
      }
      return { segments: [...segmentsOf(views, slug)], ports, nics, vlanDevices };
    },
    createSegment: (segment) => ensureSegment(commands, slug, segment, vlanDevices),
    removeSegment: (segment) => removeSegment(commands, slug, segment),
    async connectPort({ instrument, segment, listen, egress, address, policy }) {
      const addresses = await current(instrument, address);
      const dhcpUid = address === "dhcp" ? clientUid : null;
      await connectPort(commands, slug, machine, {
        ...{ instrument, segment, listen, egress, policy },
        addresses,
        dhcpUid,
      });
    },
    async disconnectPort(instrument) {
      clients.forget(instrument);
      await disconnectPort(commands, slug, instrument);
      await removeJoinedNamespace(commands, slug, instrument);
    },
    async giveNic({ instrument, device, address, policy }) {
      const addresses = await current(instrument, address);
      await giveNic(commands, slug, { instrument, device, policy, addresses });
    },
    async returnNic(instrument) {
      clients.forget(instrument);
      await returnNic(commands, slug, instrument);
      await removeJoinedNamespace(commands, slug, instrument);
    },
    async report(ports) {
      const reports: PortReport[] = [];
      for (const { instrument, segment } of ports)
        reports.push(await reportPort(commands, slug, instrument, segment));
      return reports;
    },
    wantedPorts: () => known.ports,
    namespacesOf: ({ segments, ports, nics }) => [
      ...segments.map(({ segment }) => segmentNamespaceName(slug, segment)),
      ...[...ports, ...nics].map(({ instrument }) => joinedNamespaceName(slug, instrument)),
    ],
  };
}

/**
 * A renewed address lives on. One that is not set yet is set, whole, by the step that follows the hint: the kernel's
 * "change" would add it (inet_rtm_newaddr in net/ipv4/devinet.c), before its rules.
 */
async function extendLease(namespace: NetworkNamespace, { address, validS }: Lease): Promise<void> {
  const text = `${address.address}/${address.prefix}`;
  const life = ["valid_lft", String(validS), "preferred_lft", String(validS)];
  try {
    const device = deviceNamed(await observeDevices(namespace), instrumentDevice);
    if (device === undefined || !addressesOf(device).includes(text)) return;
    await namespace.run(["ip", "addr", "change", text, "dev", instrumentDevice, ...life]);
  } catch (error) {
    // The namespace has gone, or is being made anew: the next look finds what is missing.
    if (!isWardenError(error)) throw error;
  }
}

/** The instruments' namespaces, with what they say of themselves. */
function joinedOf(
  slug: string,
  views: readonly NamespaceView[],
): readonly { readonly tag: JoinedTag; readonly view: NamespaceView }[] {
  return views.flatMap((view) => {
    const tag = parseJoinedTag(slug, view.tag);
    return tag !== null && joinedNamespaceName(slug, tag.instrument) === view.name ? [{ tag, view }] : [];
  });
}

function dhcpTargets(slug: string, joined: readonly string[], { ports, nics }: KnownNetwork) {
  const wanted = [...ports, ...nics].filter(({ address }) => address === "dhcp");
  return wanted
    .filter(({ instrument }) => joined.includes(instrument))
    .map(({ instrument }) => ({
      key: instrument,
      netnsFile: `${namespaceDirectory}/${joinedNamespaceName(slug, instrument)}`,
      device: instrumentDevice,
    }));
}

/** An address outside of the segment's networks, or one that another has, static or leased, whichever segment it is on. */
function objection(
  key: string,
  address: IpRange,
  { ports, nics }: KnownNetwork,
  clients: AddressClients,
): string | null {
  const networks = ports.find((p) => p.instrument === key)?.networks ?? [];
  if (networks.length > 0 && !isInNetworks(address, networks))
    return `${address.address} lies in no network of the segment`;
  const isTaken = [...ports, ...nics].some(({ instrument, address: other }) => {
    if (instrument === key || other === null) return false;
    if (other !== "dhcp")
      return other.addresses.some((text) => parseInterfaceAddress(text)?.address === address.address);
    const found = clients.state(instrument);
    return found.state === "bound" && found.lease.address.address === address.address;
  });
  return isTaken ? `${address.address} is another instrument's address` : null;
}
