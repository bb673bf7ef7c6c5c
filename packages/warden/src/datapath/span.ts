/**
 * A span device: taken from the host into an engine's namespace, guarded, brought up there, and given back.
 *
 * Invariants: the device is down from the host to the guards; it is up only when guarded; its alias says whose it is
 * and what to restore. A device that carries the host's own traffic is refused. Taking what is taken completes what
 * is missing, so a device that went away and came back, or lost a guard, is healed by the same call.
 */
import type { Commands } from "../commands.ts";
import { isWardenError, WardenError } from "../error.ts";
import { engineNamespace } from "./engine-namespace.ts";
import { hasFlags, hostNamespace, observeLink, observeLinks } from "./namespace.ts";
import type { Link, NetworkNamespace } from "./namespace.ts";
import { checkedDevice, parseSpanTag, renderSpanTag, spanDeviceName } from "./naming.ts";
import type { SpanTag } from "./naming.ts";
import { restoreGro, turnOffReceiveOffloads } from "./offload.ts";
import { refuseHostDevice } from "./span-claim.ts";
import { ensureSpanCounters } from "./span-counters.ts";
import { ensureSpanGuards, observeSpanGuards } from "./span-guard.ts";
import { observeClsact } from "./traffic-control.ts";

/** Which device of the host feeds which engine, under which key of the site. */
export interface SpanId {
  readonly engine: string;
  /** The site's key of the interface; its name in the engine's namespace. */
  readonly interface: string;
  /** Name on the host. */
  readonly device: string;
}

/** A span that was taken. Without every guard, or not up, it is `unguarded`. One that is not taken is not listed. */
export interface SpanState extends SpanId {
  readonly state: "guarded" | "unguarded";
}

/** Every span in an engine's namespace. */
export async function observeSpans(
  namespace: NetworkNamespace,
  slug: string,
  links: readonly Link[],
): Promise<readonly SpanState[]> {
  const spans: SpanState[] = [];
  for (const link of links) {
    const tag = parseSpanTag(link.ifalias);
    if (tag?.slug !== slug) continue;
    const { engine, interface: key, device } = tag;
    const ready =
      hasFlags(link, "UP", "NOARP", "PROMISC") && (await observeSpanGuards(namespace, link.ifname));
    spans.push({ engine, interface: key, device, state: ready ? "guarded" : "unguarded" });
  }
  return spans;
}

/**
 * Takes the device, or completes a span that was taken. Idempotent; a failure gives the device back.
 *
 * @throws WardenError `datapath-span-absent`, `datapath-span-claimed`, `datapath-span-in-use`,
 *   `datapath-span-occupied`, `datapath-offload-stuck`
 */
export async function takeSpan(commands: Commands, slug: string, span: SpanId): Promise<void> {
  const namespace = engineNamespace(commands, slug, span.engine);
  const name = spanDeviceName(span.interface);
  const inside = await observeLink(namespace, name);
  await using undo = new AsyncDisposableStack();
  if (inside === undefined) {
    await moveIn(commands, slug, span);
    undo.defer(() => releaseSpan(commands, slug, span));
  } else {
    const tag = parseSpanTag(inside.ifalias);
    if (tag?.device !== span.device || tag.slug !== slug) {
      throw new WardenError(
        "datapath-span-occupied",
        `${name} is already ${tag?.device ?? "another device"}`,
        {
          fields: { ...span },
        },
      );
    }
  }
  await ensureSpanCounters(namespace);
  await ensureSpanGuards(namespace, name);
  await turnOffReceiveOffloads(namespace, name);
  await namespace.run([
    "ip",
    "link",
    "set",
    "dev",
    name,
    "arp",
    "off",
    "promisc",
    "on",
    "addrgenmode",
    "none",
  ]);
  await namespace.run(["ip", "link", "set", "dev", name, "up"]);
  undo.move();
}

/** Gives the device back to the host as it came: down, no address, no guard, its name. Idempotent. */
export async function releaseSpan(commands: Commands, slug: string, span: SpanId): Promise<void> {
  const namespace = engineNamespace(commands, slug, span.engine);
  const link = await observeLink(namespace, spanDeviceName(span.interface));
  const tag = parseSpanTag(link?.ifalias);
  if (!link || !tag || tag.slug !== slug || tag.device !== span.device) return;
  await giveBack(namespace, link, tag);
}

/** Gives every span in the namespace back. */
export async function releaseAllSpans(commands: Commands, slug: string, engine: string): Promise<void> {
  const namespace = engineNamespace(commands, slug, engine);
  for (const link of await observeLinks(namespace)) {
    const tag = parseSpanTag(link.ifalias);
    if (tag?.slug === slug) await giveBack(namespace, link, tag);
  }
}

/** Enough for a 9000-byte payload with tags; a NIC drops what is larger than its MTU. */
const spanMtu = 9216;

async function moveIn(commands: Commands, slug: string, span: SpanId): Promise<void> {
  const host = hostNamespace(commands);
  const namespace = engineNamespace(commands, slug, span.engine);
  const device = checkedDevice(span.device);
  const link = await refuseHostDevice(commands, slug, span);
  const gro = await turnOffReceiveOffloads(host, device, "observe-only");
  // A device that came back from a lost namespace still says what it was before.
  const before = parseSpanTag(link.ifalias);
  const tag = { ...span, slug, mtu: before?.mtu ?? link.mtu, gro: before?.gro ?? gro } satisfies SpanTag;
  await using undo = new AsyncDisposableStack();
  undo.defer(async () => {
    await host.run(["ip", "link", "set", "dev", device, "mtu", String(tag.mtu), "alias", ""]);
  });
  await host.run(["ip", "link", "set", "dev", device, "alias", renderSpanTag(tag)]);
  await host.run(["ip", "link", "set", "dev", device, "down"]);
  await raiseMtu(host, link);
  const name = spanDeviceName(span.interface);
  await host.run(["ip", "link", "set", "dev", device, "netns", namespace.path ?? "", "name", name]);
  undo.move();
}

/** Raises it as far as driver and need go; a driver that refuses keeps its own, and larger frames show as its errors. */
async function raiseMtu(host: NetworkNamespace, link: Link): Promise<void> {
  const mtu = Math.min(link.max_mtu || spanMtu, spanMtu);
  if (link.mtu >= mtu) return;
  await host.run(["ip", "link", "set", "dev", link.ifname, "mtu", String(mtu)]).catch((error: unknown) => {
    if (!isWardenError(error, "command-failed")) throw error;
  });
}

/** The guards go last but one: when the device is down, and before the host has it again. */
async function giveBack(namespace: NetworkNamespace, link: Link, tag: SpanTag): Promise<void> {
  const set = (...what: readonly string[]) =>
    namespace.run(["ip", "link", "set", "dev", link.ifname, ...what]);
  await set("down");
  await set("promisc", "off", "arp", "on", "addrgenmode", "eui64");
  await set("mtu", String(tag.mtu));
  await restoreGro(namespace, link.ifname, tag.gro);
  const hooks = await observeClsact(namespace);
  if (hooks.some(({ device }) => device === link.ifname)) {
    await namespace.run(["tc", "qdisc", "del", "dev", link.ifname, "clsact"]);
  }
  await set("alias", "");
  // warden's own namespace is the host's; a number is a process id to iproute2.
  await set("netns", String(process.pid), "name", checkedDevice(tag.device));
}
