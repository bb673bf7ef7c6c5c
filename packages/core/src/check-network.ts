/**
 * Check of ports on segments and of dedicated devices: one kind of network for each instrument, within what its
 * manifest asks, with addresses and devices that nobody else has.
 */
import {
  type Addressing,
  type Fault,
  isAskedDestination,
  isAskedListen,
  isInNetworks,
  isWithin,
  type Manifest,
  parseDestination,
  parseInterfaceAddress,
  parseIp,
  parseListenPort,
  type Site,
  type SiteInstrument,
} from "@bulkhead/schema";
import type { CheckInput } from "./check-site.ts";
import type { LocatedDocument, Path } from "./located-document.ts";

const KINDS = ["source", "tap", "bridge", "dedicated"] as const;

export function checkInstrumentNetwork(
  name: string,
  instrument: SiteInstrument,
  manifest: Manifest,
  input: CheckInput,
): readonly Fault[] {
  const { document } = input;
  const path = ["instruments", name];
  const [first, ...more] = KINDS.filter((kind) => instrument[kind] !== undefined);
  const conflicts = more.map((kind) =>
    document.fault(
      [...path, kind],
      "network-conflict",
      `${name} has ${first} already, and an instrument has one network at most`,
      `one of: ${KINDS.join(", ")}`,
    ),
  );
  return [
    ...conflicts,
    ...checkBridge(path, instrument, manifest, input),
    ...checkDedicated(path, instrument, manifest, input),
  ];
}

function checkBridge(
  path: Path,
  { bridge }: SiteInstrument,
  manifest: Manifest,
  { site, document }: CheckInput,
): readonly Fault[] {
  if (bridge === undefined) return [];
  const at = [...path, "bridge"];
  const asks = manifest.needs.filter((need) => need.kind === "net.bridged");
  if (asks.length === 0) {
    return [
      document.fault(at, "not-needed", `${manifest.name} does not ask for net.bridged`, "no bridge here"),
    ];
  }
  const faults: Fault[] = [];
  const segments = Object.entries(site.interfaces).filter(([, entry]) => entry.kind === "segment");
  if (!segments.some(([key]) => key === bridge.on)) {
    faults.push(
      document.fault(
        [...at, "on"],
        "unknown-interface",
        `${bridge.on} is no segment of this site`,
        `one of: ${segments.map(([key]) => key).join(", ") || "(none is declared)"}`,
      ),
    );
  }
  const listenAsks = asks.flatMap((need) => need.listen);
  bridge.listen.forEach((text, index) => {
    const port = parseListenPort(text);
    if (port === null || isAskedListen(port, listenAsks)) return;
    faults.push(notAsked(document, [...at, "listen", index], manifest, `to listen on ${text}`, listenAsks));
  });
  const egressAsks = asks.flatMap((need) => need.egress);
  bridge.egress.forEach((text, index) => {
    const destination = parseDestination(text);
    if (destination === null || isAskedDestination(destination, egressAsks)) return;
    faults.push(notAsked(document, [...at, "egress", index], manifest, `to reach ${text}`, egressAsks));
  });
  return [
    ...faults,
    ...checkAddressing([...at, "address"], bridge.address, document),
    ...checkWithin([...at, "address", "addresses"], bridge, { site, document }),
  ];
}

/** A static address lies in one of the segment's networks, where it names any. */
function checkWithin(
  path: Path,
  { on, address }: NonNullable<SiteInstrument["bridge"]>,
  { site, document }: Pick<CheckInput, "site" | "document">,
): readonly Fault[] {
  const segment = site.interfaces[on];
  if (address === "dhcp" || segment?.kind !== "segment" || segment.networks === undefined) return [];
  const { networks } = segment;
  return address.addresses.flatMap((text, index) => {
    const own = parseInterfaceAddress(text);
    if (own === null || isInNetworks(own, networks)) return [];
    const words = `${text} lies in no network of ${on}`;
    return [document.fault([...path, index], "invalid-value", words, `within: ${networks.join(", ")}`)];
  });
}

function checkDedicated(
  path: Path,
  { dedicated }: SiteInstrument,
  manifest: Manifest,
  { site, document, claimedDevices }: CheckInput,
): readonly Fault[] {
  if (dedicated === undefined) return [];
  const at = [...path, "dedicated"];
  if (!manifest.needs.some((need) => need.kind === "net.dedicated")) {
    return [
      document.fault(
        at,
        "not-needed",
        `${manifest.name} does not ask for net.dedicated`,
        "no dedicated here",
      ),
    ];
  }
  const { device } = dedicated;
  const key = Object.entries(site.interfaces).find(([, entry]) => entry.device === device)?.[0];
  const claim = claimedDevices.find((c) => c.device === device);
  const holder =
    key !== undefined
      ? `is already interface ${key}`
      : claim !== undefined
        ? `is held by installation ${claim.installation} on this host`
        : null;
  const faults =
    holder === null
      ? []
      : [
          document.fault(
            [...at, "device"],
            "duplicate-device",
            `${device} ${holder}`,
            "a device that nothing else has",
          ),
        ];
  return dedicated.address === undefined
    ? faults
    : [...faults, ...checkAddressing([...at, "address"], dedicated.address, document)];
}

/** What two instruments cannot both have: a device, or an address on one segment. */
export function checkSharedNetwork(site: Site, document: LocatedDocument): readonly Fault[] {
  const faults: Fault[] = [];
  const devices = new Map<string, string>();
  const addresses = new Map<string, string>();
  for (const [name, { bridge, dedicated }] of Object.entries(site.instruments)) {
    if (dedicated !== undefined) {
      const owner = devices.get(dedicated.device);
      const at = ["instruments", name, "dedicated", "device"];
      if (owner !== undefined) {
        const words = `${dedicated.device} is dedicated to ${owner} already`;
        faults.push(document.fault(at, "duplicate-device", words, "a device of its own"));
      }
      devices.set(dedicated.device, name);
    }
    if (bridge === undefined || bridge.address === "dhcp") continue;
    bridge.address.addresses.forEach((text, index) => {
      const ip = parseInterfaceAddress(text)?.address ?? text;
      const owner = addresses.get(`${bridge.on} ${ip}`);
      const at = ["instruments", name, "bridge", "address", "addresses", index];
      if (owner !== undefined) {
        const words = `${ip} is ${owner === name ? "given twice" : `an address of ${owner} on ${bridge.on}`}`;
        faults.push(document.fault(at, "duplicate-address", words, "an address that nobody else has"));
      }
      addresses.set(`${bridge.on} ${ip}`, name);
    });
  }
  return faults;
}

/** A gateway lies in the network of one of the addresses, is none of them, and is the only one of its family. */
export function checkAddressing(
  path: Path,
  addressing: Addressing,
  document: LocatedDocument,
): readonly Fault[] {
  if (addressing === "dhcp") return [];
  const own = addressing.addresses.flatMap((text) => parseInterfaceAddress(text) ?? []);
  const families = new Set<string>();
  return addressing.gateways.flatMap((text, index) => {
    const gateway = parseIp(text);
    if (gateway === null) return [];
    const host = { ...gateway, prefix: gateway.family === "ipv4" ? 32 : 128 };
    const second = families.has(gateway.family);
    families.add(gateway.family);
    const reachable = own.some((a) => isWithin(host, a) && a.address !== gateway.address);
    if (reachable && !second) return [];
    const words = second
      ? `${text} is a second ${gateway.family === "ipv4" ? "IPv4" : "IPv6"} gateway`
      : `${text} lies in no network of ${addressing.addresses.join(", ")}`;
    const accepted = "one gateway for each family, in the network of an address";
    return [document.fault([...path, "gateways", index], "invalid-value", words, accepted)];
  });
}

function notAsked(
  document: LocatedDocument,
  path: Path,
  manifest: Manifest,
  words: string,
  asks: readonly string[],
): Fault {
  return document.fault(
    path,
    "not-declared",
    `${manifest.name} does not ask ${words}`,
    `what lies within: ${asks.join(", ") || "(it asks for nothing)"}`,
  );
}
