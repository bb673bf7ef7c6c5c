/**
 * A tap's wire: a veth from the engine's namespace to `mon0` in the instrument's, on which frames go one way.
 *
 * Invariants: both ends are made in place and DOWN, so the host never has them; the engine's end is up only with both
 * guards on, and last of all; offloads are off, so what arrives is what was on the network. Connecting what is
 * connected completes what is missing; a wire into another namespace (the instrument was restarted) is made anew.
 */
import type { Commands } from "../commands.ts";
import { WardenError } from "../error.ts";
import { engineNamespace } from "./engine-namespace.ts";
import { findInstrumentNamespace, holdInstrumentNamespace } from "./instrument-namespace.ts";
import { rebindMirror } from "./mirror-action.ts";
import { disableIpv6, hasFlags, observeLink } from "./namespace.ts";
import type { Link, NetworkNamespace } from "./namespace.ts";
import { parseWireTag, renderWireTag, tapDevice, wireDeviceName } from "./naming.ts";
import type { TapId } from "./naming.ts";
import { turnOffTransmitOffloads } from "./offload.ts";
import type { CarriedCounts } from "./wire-counts.ts";
import { ensureWireGuards, observeWireGuards } from "./wire-guard.ts";

/** Frames up to this size pass; over it they are counted as dropped at the wire. */
export const wireMtu = 16_384;

/** `connected`: both ends up and guarded; `broken`: something of that is missing. No wire, no entry. */
export interface WireState extends TapId {
  readonly wire: "connected" | "broken";
}

/**
 * Every wire of the installation in an engine's namespace.
 *
 * @param links what is in the namespace
 * @param pids host pid of each running instrument's init, by instrument.
 */
export async function observeWires(
  commands: Commands,
  slug: string,
  namespace: NetworkNamespace,
  links: readonly Link[],
  pids: ReadonlyMap<string, number>,
): Promise<readonly WireState[]> {
  const wires: WireState[] = [];
  for (const link of links) {
    const tag = parseWireTag(slug, link.ifalias);
    if (tag === null) continue;
    const pid = pids.get(tag.instrument);
    const whole = pid !== undefined && (await isConnected(commands, namespace, link, pid));
    wires.push({ engine: tag.engine, instrument: tag.instrument, wire: whole ? "connected" : "broken" });
  }
  return wires;
}

/**
 * Connects the tap, or completes its wire. Idempotent; a failure leaves no wire of this call behind.
 *
 * @param carried counts of the tap's former wires, so that a tap's counts do not fall when its wire is made anew.
 * @throws WardenError `datapath-instrument-gone`, `datapath-instrument-shares-network`, `datapath-offload-stuck`
 */
export async function connectWire(
  commands: Commands,
  slug: string,
  tap: TapId & { readonly pid: number },
  carried: CarriedCounts,
): Promise<void> {
  const namespace = engineNamespace(commands, slug, tap.engine);
  const name = wireDeviceName(slug, tap);
  await using instrument = await holdInstrumentNamespace(commands, tap.pid, namespace);
  await using undo = new AsyncDisposableStack();
  await disableIpv6(instrument);
  let near = await observeLink(namespace, name);
  // One of another size is made anew too: under 1280 bytes the kernel takes its IPv6 settings away, which are set here.
  if (near && !isWirePair(near, await observeLink(instrument, tapDevice))) {
    await removeLink(namespace, name);
    near = undefined;
  }
  if (near === undefined) {
    const far = ["peer", "name", tapDevice, "mtu", String(wireMtu), "netns", instrument.path ?? ""];
    await namespace.run(["ip", "link", "add", "name", name, "mtu", String(wireMtu), "type", "veth", ...far]);
    undo.defer(() => removeLink(namespace, name));
    const tag = renderWireTag({ slug, engine: tap.engine, instrument: tap.instrument, ...carried });
    await setLink(namespace, name, "alias", tag);
  }
  await closeAndGuard(namespace, name);
  await setLink(instrument, tapDevice, "arp", "off", "promisc", "off", "addrgenmode", "none");
  await setLink(instrument, tapDevice, "up");
  await setLink(namespace, name, "up");
  await rebindMirror(namespace, slug, tap);
  undo.move();
}

/** Removes the wire, both ends. The tap's mirror, if there is one, counts what it could not hand over. Idempotent. */
export async function disconnectWire(commands: Commands, slug: string, tap: TapId): Promise<void> {
  const namespace = engineNamespace(commands, slug, tap.engine);
  await removeLink(namespace, wireDeviceName(slug, tap));
}

/** Takes the engine's end down if it is not wholly guarded, guards it, and prepares it to be brought up. */
async function closeAndGuard(namespace: NetworkNamespace, name: string): Promise<void> {
  const link = await observeLink(namespace, name);
  if (link === undefined)
    throw new WardenError("datapath-wire-missing", `${name} went away`, { fields: { name } });
  const guards = await observeWireGuards(namespace, link);
  if (!guards.xdp || !guards.clsact) {
    await setLink(namespace, name, "down");
    await ensureWireGuards(namespace, link);
  }
  await turnOffTransmitOffloads(namespace, name);
  await setLink(namespace, name, "arp", "off", "addrgenmode", "none");
}

async function isConnected(
  commands: Commands,
  namespace: NetworkNamespace,
  near: Link,
  pid: number,
): Promise<boolean> {
  if (!hasFlags(near, "UP", "LOWER_UP", "NOARP")) return false;
  await using instrument = await findInstrumentNamespace(commands, pid, namespace);
  const far = instrument ? await observeLink(instrument, tapDevice) : undefined;
  if (!far || !isWirePair(near, far) || !hasFlags(far, "UP", "LOWER_UP", "NOARP")) return false;
  const guards = await observeWireGuards(namespace, near);
  return guards.xdp && guards.clsact;
}

/** The two ends of one veth name each other's index and have the wire's size; an instrument has one `mon0` at most. */
function isWirePair(near: Link, far: Link | undefined): boolean {
  if (far === undefined || near.mtu !== wireMtu || far.mtu !== wireMtu) return false;
  return near.link_index === far.ifindex && far.link_index === near.ifindex;
}

async function setLink(namespace: NetworkNamespace, name: string, ...what: readonly string[]): Promise<void> {
  await namespace.run(["ip", "link", "set", "dev", name, ...what]);
}

async function removeLink(namespace: NetworkNamespace, name: string): Promise<void> {
  if (await observeLink(namespace, name)) await namespace.run(["ip", "link", "del", "dev", name]);
}
