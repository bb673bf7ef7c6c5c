/**
 * Names, tags and hardware addresses of segments, ports and dedicated devices of one installation. Pure.
 *
 * Invariants: everything says whose it is, in its alias; a name is checked before it may stand in an argv. A port's
 * MAC address is locally administered and begins with three bytes that all instruments of the installation share,
 * so that a rule can tell another instrument from a machine of the segment.
 */
import { createHash } from "node:crypto";
import { checkedDevice, checkedName } from "../datapath/naming.ts";

export type JoinedKind = "port" | "nic";

/** What an instrument's namespace says of itself. */
export interface JoinedTag {
  readonly instrument: string;
  readonly kind: JoinedKind;
  /** Digest of the site's words that it was made from; `-` before it is whole. */
  readonly policy: string;
  /** Digest of the rules as the kernel gave them back; `-` where there are none. */
  readonly rules: string;
}

export interface SegmentTag {
  readonly segment: string;
  readonly device: string;
  readonly vlan: number | null;
}

export const bridgeName = "br0";
export const uplinkName = "up0";
export const vlanName = "vl0";
/** The instrument's device in its namespace. */
export const instrumentDevice = "eth0";

/** An underscore is in no instrument's name, so that no instrument's namespace is ever called so. */
export function segmentNamespaceName(slug: string, segment: string): string {
  return `${checkedName(slug)}-seg_${checkedName(segment)}`;
}

export function joinedNamespaceName(slug: string, instrument: string): string {
  return `${checkedName(slug)}-${checkedName(instrument)}`;
}

/** The segment's end of a port's wire: 15 characters, `q` and a hash. */
export function portDeviceName(slug: string, instrument: string): string {
  return `q${digest(["port", slug, instrument].map(checkedName)).toString("hex").slice(0, 14)}`;
}

/** `xx:xx:xx:00:00:00`: what the MAC addresses of all the installation's ports begin with. */
export function macPrefix(machine: string, slug: string): string {
  const bytes = digest(["mac", machine, checkedName(slug)]).subarray(0, 3);
  // Locally administered and unicast: bit 1 set, bit 0 clear (IEEE 802, clause 8.2).
  bytes[0] = ((bytes[0] ?? 0) & 0xfc) | 0x02;
  return renderMac(Buffer.concat([bytes, Buffer.alloc(3)]));
}

/**
 * The MAC address of an instrument's port.
 *
 * @param machine tells hosts apart: two sensors on one segment may have the same names.
 */
export function portMac(machine: string, slug: string, instrument: string): string {
  const last = digest(["mac", machine, ...[slug, instrument].map(checkedName)]).subarray(0, 3);
  return `${macPrefix(machine, slug).slice(0, 9)}${renderMac(last)}`;
}

/** `fe80::…` of a MAC address (RFC 4291, appendix A). */
export function linkLocalAddress(mac: string): string {
  const bytes = mac.split(":").map((byte) => Number.parseInt(byte, 16));
  const [a = 0, b = 0, c = 0, d = 0, e = 0, f = 0] = bytes;
  const word = (high: number, low: number) => ((high << 8) | low).toString(16);
  return `fe80::${word(a ^ 2, b)}:${word(c, 0xff)}:${word(0xfe, d)}:${word(e, f)}`;
}

export function renderSegmentTag(slug: string, { segment, device, vlan }: SegmentTag): string {
  return `bulkhead segment ${checkedName(slug)} ${checkedName(segment)} ${checkedDevice(device)} ${vlan ?? "-"}`;
}

export function parseSegmentTag(slug: string, alias: string | undefined): SegmentTag | null {
  const parts = /^bulkhead segment (?<slug>\S+) (?<segment>\S+) (?<device>\S+) (?<vlan>\d+|-)$/.exec(
    alias ?? "",
  )?.groups;
  if (parts === undefined || parts["slug"] !== slug) return null;
  const { segment = "", device = "", vlan } = parts;
  return { segment, device, vlan: vlan === "-" ? null : Number(vlan) };
}

export function renderJoinedTag(slug: string, { instrument, kind, policy, rules }: JoinedTag): string {
  return `bulkhead joined ${checkedName(slug)} ${checkedName(instrument)} ${kind} ${policy} ${rules}`;
}

export function parseJoinedTag(slug: string, alias: string | undefined): JoinedTag | null {
  const parts =
    /^bulkhead joined (?<slug>\S+) (?<instrument>\S+) (?<kind>port|nic) (?<policy>[0-9a-f]+|-) (?<rules>[0-9a-f]+|-)$/.exec(
      alias ?? "",
    )?.groups;
  if (parts === undefined || parts["slug"] !== slug) return null;
  const { instrument = "", kind, policy = "-", rules = "-" } = parts;
  return { instrument, kind: kind === "nic" ? "nic" : "port", policy, rules };
}

export function renderPortTag(slug: string, segment: string, instrument: string): string {
  return `bulkhead port ${[slug, segment, instrument].map(checkedName).join(" ")}`;
}

export function parsePortTag(
  slug: string,
  alias: string | undefined,
): { readonly segment: string; readonly instrument: string } | null {
  const parts = /^bulkhead port (?<slug>\S+) (?<segment>\S+) (?<instrument>\S+)$/.exec(alias ?? "")?.groups;
  if (parts === undefined || parts["slug"] !== slug) return null;
  return { segment: parts["segment"] ?? "", instrument: parts["instrument"] ?? "" };
}

function renderMac(bytes: Buffer): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join(":");
}

function digest(parts: readonly string[]): Buffer {
  return createHash("sha256").update(parts.join("\0")).digest();
}
