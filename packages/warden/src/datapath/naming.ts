/**
 * Names and tags of the kernel objects of one installation's datapath. Pure.
 *
 * Invariants: every object carries the installation's slug, either in its name or, where the kernel allows 15
 * characters, in its alias (`ifalias`), so that what is ours can be listed and nothing else is touched; a name is
 * checked here before it may stand in an argv. It decides nothing about what should exist.
 */
import { createHash } from "node:crypto";
import { WardenError } from "../error.ts";

/** What one tap is: an instrument that gets copies from a capture engine. */
export interface TapId {
  readonly engine: string;
  readonly instrument: string;
}

/** What a taken span device says about itself: whose it is, and what to give back to the host. */
export interface SpanTag {
  readonly slug: string;
  readonly engine: string;
  /** The site's key of the interface. */
  readonly interface: string;
  /** Its name on the host. */
  readonly device: string;
  readonly mtu: number;
  readonly gro: "on" | "off";
}

/**
 * What an engine's end of a wire says about itself. The counts are added to the wire's own: those of the tap's former
 * wires, or, negative, what the wire had counted when the tap's mirror began.
 */
export interface WireTag extends TapId {
  readonly slug: string;
  readonly dropped: number;
  readonly guarded: number;
}

/** The tap's interface inside the instrument. */
export const tapDevice = "mon0";

/** A namespace under /run/netns, named `<slug>-<engine>`. */
export function engineNamespaceName(slug: string, engine: string): string {
  return `${checkedName(slug)}-${checkedName(engine)}`;
}

/** Name of a span inside the engine's namespace: the site's key where the kernel takes it, else a hash of it. */
export function spanDeviceName(key: string): string {
  checkedName(key);
  const taken = key === "lo" || key.length > 15 || /^p[0-9a-f]{14}$/.test(key);
  return taken ? `s${digest(["span", key]).toString("hex").slice(0, 14)}` : key;
}

/** Name of the engine's end of a tap's wire: 15 characters, `p` and a hash. */
export function wireDeviceName(slug: string, tap: TapId): string {
  return `p${tapDigest(slug, tap).toString("hex").slice(0, 14)}`;
}

/**
 * One number for a tap in its engine's namespace: handle of its filter and index of its mirred action.
 * 2^30 up to 2^31-1, so that it never meets the datapath's own small indexes.
 */
export function tapIndex(slug: string, tap: TapId): number {
  return (tapDigest(slug, tap).readUInt32BE(8) & 0x3fffffff) + 0x40000000;
}

/** What the tap of a mirror is called whose instrument's name stands nowhere any more: the kernel keeps the index alone. */
export function strayTapName(index: number): string {
  return `stray-${index.toString(16)}`;
}

/** The index in such a name; null for any other. */
export function parseStrayTapName(instrument: string): number | null {
  const hex = /^stray-(?<hex>[4-7][0-9a-f]{7})$/.exec(instrument)?.groups?.["hex"];
  return hex === undefined ? null : Number.parseInt(hex, 16);
}

/** Alias of `lo` in an engine's namespace: that is how a namespace is known to be ours. */
export function engineTag(slug: string, engine: string): string {
  return `bulkhead engine ${checkedName(slug)} ${checkedName(engine)}`;
}

/** The engine's name if this alias says that the namespace belongs to the installation, else null. */
export function parseEngineTag(slug: string, alias: string | undefined): string | null {
  const [product, kind, owner, engine] = (alias ?? "").split(" ");
  return product === "bulkhead" && kind === "engine" && owner === slug && engine ? engine : null;
}

export function renderSpanTag(tag: SpanTag): string {
  checkedDevice(tag.device);
  const names = [tag.slug, tag.engine, tag.interface].map(checkedName).join(" ");
  return `bulkhead span ${names} ${tag.device} ${tag.mtu} ${tag.gro}`;
}

/** Whoever's span it is; null if the alias is none of the datapath's. */
export function parseSpanTag(alias: string | undefined): SpanTag | null {
  const match =
    /^bulkhead span (?<slug>\S+) (?<engine>\S+) (?<key>\S+) (?<device>\S+) (?<mtu>\d+) (?<gro>on|off)$/.exec(
      alias ?? "",
    )?.groups;
  if (!match) return null;
  const { slug = "", engine = "", key = "", device = "", mtu, gro } = match;
  return { slug, engine, interface: key, device, mtu: Number(mtu), gro: gro === "on" ? "on" : "off" };
}

export function renderWireTag(tag: WireTag): string {
  const names = [tag.slug, tag.engine, tag.instrument].map(checkedName).join(" ");
  return `bulkhead wire ${names} ${tag.dropped} ${tag.guarded}`;
}

export function parseWireTag(slug: string, alias: string | undefined): WireTag | null {
  const match =
    /^bulkhead wire (?<slug>\S+) (?<engine>\S+) (?<instrument>\S+) (?<dropped>-?\d+) (?<guarded>-?\d+)$/.exec(
      alias ?? "",
    )?.groups;
  if (!match || match["slug"] !== slug) return null;
  const { engine = "", instrument = "", dropped, guarded } = match;
  return { slug, engine, instrument, dropped: Number(dropped), guarded: Number(guarded) };
}

/** @throws WardenError `datapath-bad-name` unless it is a Linux interface name that cannot be taken for an option. */
export function checkedDevice(device: string): string {
  if (/^[A-Za-z0-9][A-Za-z0-9_.-]{0,14}$/.test(device)) return device;
  throw new WardenError("datapath-bad-name", `not a network device's name: ${JSON.stringify(device)}`, {
    fields: { name: device },
  });
}

/** @throws WardenError `datapath-bad-name` unless it is a name as packages/schema defines it (slugs are up to 25 long). */
export function checkedName(name: string): string {
  if (name.length <= 25 && /^[a-z][a-z0-9]*(-[a-z0-9]+)*$/.test(name)) return name;
  throw new WardenError("datapath-bad-name", `not a name: ${JSON.stringify(name)}`, { fields: { name } });
}

function tapDigest(slug: string, tap: TapId): Buffer {
  return digest(["tap", slug, tap.engine, tap.instrument].map(checkedName));
}

function digest(parts: readonly string[]): Buffer {
  return createHash("sha256").update(parts.join("\0")).digest();
}
