/**
 * Addressing: which addresses a network device gets, and how a site says where an instrument may go to and what it
 * may be reached at. IPv4 and IPv6 alike; no wildcards, names or prefixes that hold every address.
 *
 * The texts stay texts in manifest and site, checked here; `parseDestination`, `parseListenPort` and
 * `parseInterfaceAddress` give their parts to those who decide or make rules.
 */
import ipaddr from "ipaddr.js";
import * as z from "zod";

export type AddressFamily = "ipv4" | "ipv6";
export type Transport = "tcp" | "udp";

/** An address in its canonical text (RFC 5952), with a prefix length. */
export interface IpRange {
  readonly family: AddressFamily;
  readonly address: string;
  readonly prefix: number;
}

/** Ports from first to last, both included. */
export interface PortRange {
  readonly first: number;
  readonly last: number;
}

export interface ParsedDestination {
  readonly protocol: Transport;
  readonly to: IpRange;
  readonly ports: PortRange;
}

export interface ParsedListenPort {
  readonly protocol: Transport;
  readonly ports: PortRange;
}

const ADDRESS_WORDS = "an address with its prefix length, such as 192.0.2.10/24 or 2001:db8::10/64";
const NETWORK_WORDS = "a network such as 192.0.2.0/24 or 2001:db8::/64";
const GATEWAY_WORDS = "an address such as 192.0.2.1 or 2001:db8::1";
const DESTINATION_WORDS =
  "tcp or udp, an address or network, and a port or range: tcp/192.0.2.10:443, udp/[2001:db8::53]:53, tcp/192.0.2.0/24:8000-8010; no wildcards";
const LISTEN_WORDS = "tcp or udp and a port or range, such as tcp/22 or udp/5000-5010";

/** Address of a device, with its network's prefix length. No multicast, loopback, unspecified or link-local address. */
export const InterfaceAddress = z
  .string()
  .refine((text) => parseInterfaceAddress(text) !== null, ADDRESS_WORDS)
  .meta({ description: ADDRESS_WORDS });

/** A network; the bits beyond its prefix are zero. */
export const IpNetwork = z
  .string()
  .refine((text) => parseNetwork(text) !== null, NETWORK_WORDS)
  .meta({ description: NETWORK_WORDS });

/** Static addresses, or those that the network's own DHCP server gives (IPv4). */
export const Addressing = z.union([
  z.literal("dhcp"),
  z.strictObject({
    addresses: z.array(InterfaceAddress).min(1).max(16),
    /** At most one for each family. */
    gateways: z
      .array(
        z
          .string()
          .refine((text) => parseIp(text) !== null, GATEWAY_WORDS)
          .meta({ description: GATEWAY_WORDS }),
      )
      .max(2)
      .default([]),
  }),
]);
export type Addressing = z.infer<typeof Addressing>;

/** Where an instrument may open connections to. */
export const Destination = z
  .string()
  .refine((text) => parseDestination(text) !== null, DESTINATION_WORDS)
  .meta({ description: DESTINATION_WORDS });

/** Where an instrument may be reached at. */
export const ListenPort = z
  .string()
  .refine((text) => parseListenPort(text) !== null, LISTEN_WORDS)
  .meta({ description: LISTEN_WORDS });

/** What a manifest asks for: a destination, or ports alone, for which the site then names the addresses. */
export const DestinationAsk = z
  .string()
  .refine(
    (text) => parseDestination(text) !== null || parseListenPort(text) !== null,
    `${LISTEN_WORDS}; or ${DESTINATION_WORDS}`,
  )
  .meta({ description: `${LISTEN_WORDS}; or ${DESTINATION_WORDS}` });

/** `tcp/192.0.2.0/24:8000-8010` → its parts; null for anything else. Bits beyond a network's prefix must be zero. */
export function parseDestination(text: string): ParsedDestination | null {
  const parts =
    /^(?<protocol>tcp|udp)\/(?:\[(?<six>[0-9a-fA-F:.]+(?:\/\d{1,3})?)\]|(?<four>[0-9.]+(?:\/\d{1,2})?)):(?<ports>[0-9-]+)$/.exec(
      text,
    )?.groups;
  if (parts === undefined) return null;
  const to = parseNetwork(parts["six"] ?? parts["four"] ?? "");
  const ports = parsePorts(parts["ports"] ?? "");
  if (to === null || ports === null || (parts["six"] === undefined) !== (to.family === "ipv4")) return null;
  return { protocol: parts["protocol"] === "tcp" ? "tcp" : "udp", to, ports };
}

/** `udp/5000-5010` → its parts; null for anything else. */
export function parseListenPort(text: string): ParsedListenPort | null {
  const parts = /^(?<protocol>tcp|udp)\/(?<ports>[0-9-]+)$/.exec(text)?.groups;
  const ports = parsePorts(parts?.["ports"] ?? "");
  return ports === null ? null : { protocol: parts?.["protocol"] === "tcp" ? "tcp" : "udp", ports };
}

/** `192.0.2.10/24` → the address and the prefix length of its network; null unless a device can have it. */
export function parseInterfaceAddress(text: string): IpRange | null {
  const [address = "", length = "", ...rest] = text.split("/");
  const ip = parseIp(address);
  const prefix = parsePrefix(length, ip?.family);
  if (ip === null || prefix === null || rest.length > 0 || !isUnicast(ip.address)) return null;
  return { ...ip, prefix };
}

/** Four decimal bytes, or IPv6 without a zone; null for anything else. */
export function parseIp(text: string): { readonly family: AddressFamily; readonly address: string } | null {
  if (ipaddr.IPv4.isValidFourPartDecimal(text) && !/(^|\.)0[0-9]/.test(text))
    return { family: "ipv4", address: text };
  if (!text.includes(":") || text.includes("%") || !ipaddr.IPv6.isValid(text)) return null;
  const six = ipaddr.IPv6.parse(text);
  // An IPv4 address in IPv6's clothes would go by the rules of neither.
  return six.isIPv4MappedAddress() ? null : { family: "ipv6", address: six.toRFC5952String() };
}

/** Whether `inner` lies wholly in `outer`. */
export function isWithin(inner: IpRange, outer: IpRange): boolean {
  if (inner.family !== outer.family || inner.prefix < outer.prefix) return false;
  const network = ipaddr.parse(outer.address);
  const address = ipaddr.parse(inner.address);
  if (address instanceof ipaddr.IPv4)
    return network instanceof ipaddr.IPv4 && address.match(network, outer.prefix);
  return network instanceof ipaddr.IPv6 && address.match(network, outer.prefix);
}

/** Whether the address itself lies in one of these networks. */
export function isInNetworks({ family, address }: IpRange, networks: readonly string[]): boolean {
  const one = { family, address, prefix: family === "ipv4" ? 32 : 128 };
  return networks.some((text) => {
    const network = parseNetwork(text);
    return network !== null && isWithin(one, network);
  });
}

/** Whether one of the asks of a manifest holds this destination of a site. */
export function isAskedDestination(destination: ParsedDestination, asks: readonly string[]): boolean {
  return asks.some((text) => {
    const port = parseListenPort(text);
    const ask = parseDestination(text) ?? (port === null ? null : { ...port, to: null });
    if (ask === null || ask.protocol !== destination.protocol) return false;
    const ports = ask.ports.first <= destination.ports.first && destination.ports.last <= ask.ports.last;
    return ports && (ask.to === null || isWithin(destination.to, ask.to));
  });
}

/** Whether the asks of a manifest hold this port or range. */
export function isAskedListen({ protocol, ports }: ParsedListenPort, asks: readonly string[]): boolean {
  return asks.some((text) => {
    const ask = parseListenPort(text);
    return ask?.protocol === protocol && ask.ports.first <= ports.first && ports.last <= ask.ports.last;
  });
}

/** `192.0.2.0/24` → its parts; null where bits beyond the prefix are set. Without a prefix it is one address. */
function parseNetwork(text: string): IpRange | null {
  const [address = "", length, ...rest] = text.split("/");
  const ip = parseIp(address);
  if (ip === null || rest.length > 0) return null;
  const full = ip.family === "ipv4" ? 32 : 128;
  const prefix = length === undefined ? full : parsePrefix(length, ip.family);
  if (prefix === null) return null;
  const kind = ip.family === "ipv4" ? ipaddr.IPv4 : ipaddr.IPv6;
  const network = kind.networkAddressFromCIDR(`${ip.address}/${prefix}`);
  return network.toNormalizedString() === ipaddr.parse(ip.address).toNormalizedString()
    ? { ...ip, prefix }
    : null;
}

/** From 1: a prefix of no length holds every address. */
function parsePrefix(text: string, family: AddressFamily | undefined): number | null {
  if (!/^[1-9][0-9]{0,2}$/.test(text)) return null;
  const prefix = Number(text);
  return prefix <= (family === "ipv4" ? 32 : 128) ? prefix : null;
}

function parsePorts(text: string): PortRange | null {
  const parts = /^(?<first>[1-9][0-9]{0,4})(?:-(?<last>[1-9][0-9]{0,4}))?$/.exec(text)?.groups;
  if (parts === undefined) return null;
  const first = Number(parts["first"]);
  const last = Number(parts["last"] ?? parts["first"]);
  return first <= last && last <= 65_535 ? { first, last } : null;
}

function isUnicast(address: string): boolean {
  const range = ipaddr.parse(address).range();
  return !["unspecified", "broadcast", "multicast", "linkLocal", "loopback"].includes(range);
}
