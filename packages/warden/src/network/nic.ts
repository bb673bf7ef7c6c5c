/**
 * A device of the host that one instrument has to itself: moved into the instrument's namespace, with addresses where
 * the site gives any, and back on the host when the instrument stops: down and without addresses.
 *
 * Invariants: nobody in the container has a capability over the device; the death of the container leaves it where it
 * is. What passes it is not filtered: the namespace is the whole guard, and the network beyond is the operator's.
 */
import type { Commands } from "../commands.ts";
import { observeDevices } from "../datapath/namespace.ts";
import type { NamespaceView } from "../datapath/namespace-census.ts";
import { addressesOf, deviceNamed, isUp } from "./devices.ts";
import { hasAddresses, setAddresses, type WantedAddresses } from "./device-addresses.ts";
import { findHeldDevice, returnDevice, takeDevice } from "./held-device.ts";
import { devicesIfThere, ensureJoinedNamespace, joinedNamespace, writeTag } from "./joined-namespace.ts";
import { instrumentTable } from "./instrument-rules.ts";
import { removeTable } from "./ruleset.ts";
import { instrumentDevice, type JoinedTag, linkLocalAddress } from "./network-names.ts";

export interface NicSpec {
  readonly instrument: string;
  readonly device: string;
  readonly addresses: WantedAddresses;
  readonly policy: string;
}

/** @throws WardenError `datapath-namespace-foreign`, `datapath-span-claimed`, `datapath-span-in-use` */
export async function giveNic(commands: Commands, slug: string, nic: NicSpec): Promise<void> {
  const namespace = joinedNamespace(commands, slug, nic.instrument);
  const devices = await ensureJoinedNamespace(commands, slug, nic.instrument);
  const tag: JoinedTag = { instrument: nic.instrument, kind: "nic", policy: nic.policy, rules: "-" };
  await writeTag(namespace, slug, { ...tag, policy: "-" });
  // Of a port that the instrument had before.
  await removeTable(namespace, { family: "inet", name: instrumentTable });
  const held = findHeldDevice(devices, slug);
  if (held !== null && held.device !== nic.device) await returnDevice(namespace, slug);
  if (held?.device !== nic.device) {
    const wanted = { holder: nic.instrument, device: nic.device };
    await takeDevice(commands, slug, wanted, namespace, instrumentDevice);
  }
  const device = deviceNamed(await observeDevices(namespace), instrumentDevice);
  if (device !== undefined) {
    const linkLocal = device.address === undefined ? null : linkLocalAddress(device.address);
    await setAddresses(namespace, device, { ...nic.addresses, linkLocal });
  }
  await writeTag(namespace, slug, tag);
}

/** Idempotent. */
export async function returnNic(commands: Commands, slug: string, instrument: string): Promise<void> {
  if ((await devicesIfThere(commands, slug, instrument)) === null) return;
  await returnDevice(joinedNamespace(commands, slug, instrument), slug);
}

export interface NicState {
  readonly device: string | null;
  readonly whole: boolean;
  readonly addresses: readonly string[];
}

/** @param expected null where nobody knows yet */
export function nicStateOf(view: NamespaceView, slug: string, expected: WantedAddresses | null): NicState {
  const held = findHeldDevice(view.devices, slug);
  if (held === null) return { device: null, whole: false, addresses: [] };
  const known = expected === null || hasAddresses(held.link, expected);
  return { device: held.device, whole: known && isUp(held.link), addresses: addressesOf(held.link) };
}
