/**
 * A device of the host, taken into a namespace for a segment or a dedicated instrument, and given back: down, without
 * addresses, under its name.
 *
 * Invariants: it arrives down and its alias says whose it is and what to restore (the span's tag, which removal from
 * outside knows too); a device that carries the host's own traffic, or that another holds, is refused.
 */
import type { Commands } from "../commands.ts";
import { type Device, hostNamespace, type NetworkNamespace, observeDevices } from "../datapath/namespace.ts";
import { checkedDevice, parseSpanTag, renderSpanTag } from "../datapath/naming.ts";
import { refuseHostDevice } from "../datapath/span-claim.ts";
import { isWardenError } from "../error.ts";
import { changeDevices } from "./devices.ts";

export interface HeldDevice {
  /** The segment or instrument. */
  readonly holder: string;
  readonly device: string;
}

/** The host's device among those of a namespace; `device` is its name on the host. */
export function findHeldDevice(
  devices: readonly Device[],
  slug: string,
): { readonly link: Device; readonly device: string } | null {
  for (const link of devices) {
    const tag = parseSpanTag(link.ifalias);
    if (tag?.slug === slug) return { link, device: tag.device };
  }
  return null;
}

/**
 * Moves the device in under the name `inside`: down.
 *
 * @returns false if the host has no such device now
 * @throws WardenError `datapath-span-claimed`, `datapath-span-in-use`
 */
export async function takeDevice(
  commands: Commands,
  slug: string,
  { holder, device }: HeldDevice,
  namespace: NetworkNamespace,
  inside: string,
): Promise<boolean> {
  const host = hostNamespace(commands);
  const link = await refuseHostDevice(commands, slug, { engine: holder, interface: holder, device }).catch(
    (error: unknown) => {
      if (isWardenError(error, "datapath-span-absent")) return null;
      throw error;
    },
  );
  if (link === null) return false;
  const mtu = parseSpanTag(link.ifalias)?.mtu ?? link.mtu;
  const tag = renderSpanTag({ slug, engine: holder, interface: holder, device, mtu, gro: "on" });
  // An alias holds blanks, which a batch would cut.
  await host.run(["ip", "link", "set", "dev", checkedDevice(device), "alias", tag]);
  await changeDevices(host, [
    ["link", "set", "dev", device, "down"],
    ["link", "set", "dev", device, "netns", namespace.path ?? "", "name", inside],
  ]);
  await namespace.run(["ip", "link", "set", "dev", inside, "addrgenmode", "none"]);
  return true;
}

/** Gives whatever device of the host's lies in the namespace back. Idempotent. */
export async function returnDevice(namespace: NetworkNamespace, slug: string): Promise<void> {
  const held = findHeldDevice(await observeDevices(namespace), slug);
  if (held === null) return;
  const name = held.link.ifname;
  const mtu = parseSpanTag(held.link.ifalias)?.mtu;
  const set = (...what: readonly string[]) => ["link", "set", "dev", name, ...what];
  await changeDevices(namespace, [
    set("down"),
    set("nomaster"),
    ["addr", "flush", "dev", name],
    set("promisc", "off", "arp", "on", "addrgenmode", "eui64"),
    ...(mtu === undefined ? [] : [set("mtu", String(mtu))]),
  ]);
  await namespace.run(["ip", "link", "set", "dev", name, "alias", ""]);
  // warden's own namespace is the host's; a number is a process id to iproute2.
  await changeDevices(namespace, [set("netns", String(process.pid), "name", checkedDevice(held.device))]);
}
