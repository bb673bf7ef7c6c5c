/**
 * Addresses and default routes of one device in a namespace of warden's: set as wanted, and nothing else on it.
 *
 * Invariants: an address of a lease ends with the lease by the kernel's own clock, should nobody renew it; IPv6 is
 * off on a device without an IPv6 address; what the network announces of itself (router advertisements) is not taken.
 */
import { type IpRange, parseInterfaceAddress, parseIp } from "@bulkhead/schema";
import type { Device, NetworkNamespace } from "../datapath/namespace.ts";
import { addressesOf, changeDevices, setSysctls } from "./devices.ts";

export interface WantedAddresses {
  /** With prefix lengths. */
  readonly addresses: readonly IpRange[];
  readonly gateways: readonly string[];
  /** Of a lease: how long its addresses are good for, in seconds. Null: as long as they are wanted. */
  readonly validS: number | null;
  /** Set where there is any IPv6 address. */
  readonly linkLocal: string | null;
}

export const NO_ADDRESSES: WantedAddresses = { addresses: [], gateways: [], validS: null, linkLocal: null };

/** From a site's static addressing, as checked by the schema. */
export function staticAddresses(
  addressing: { readonly addresses: readonly string[]; readonly gateways: readonly string[] },
  linkLocal: string | null,
): WantedAddresses {
  const addresses = addressing.addresses.flatMap((text) => parseInterfaceAddress(text) ?? []);
  const gateways = addressing.gateways.flatMap((text) => parseIp(text)?.address ?? []);
  return { addresses, gateways, validS: null, linkLocal };
}

/** Whether the device has exactly these. */
export function hasAddresses(device: Device, wanted: WantedAddresses): boolean {
  return addressesOf(device).join(" ") === rendered(wanted).join(" ");
}

/** Addresses, the device up, and the routes that need it up; `device` is as it is now. Idempotent. */
export async function setAddresses(
  namespace: NetworkNamespace,
  device: Device,
  wanted: WantedAddresses,
): Promise<void> {
  const name = device.ifname;
  const six = wanted.addresses.some(({ family }) => family === "ipv6");
  await setSysctls(namespace, [
    [`net.ipv6.conf.${name}.accept_ra`, "0"],
    [`net.ipv6.conf.${name}.router_solicitations`, "0"],
    [`net.ipv6.conf.${name}.disable_ipv6`, six ? "0" : "1"],
  ]);
  const goal = rendered(wanted);
  const until = wanted.validS === null ? "forever" : String(wanted.validS);
  const life = ["valid_lft", until, "preferred_lft", until];
  const gateway = (family: "ipv4" | "ipv6") => wanted.gateways.find((g) => parseIp(g)?.family === family);
  const route = (option: "-4" | "-6", via: string | undefined) =>
    via === undefined
      ? [option, "route", "flush", "default", "dev", name]
      : [option, "route", "replace", "default", "via", via, "dev", name];
  await changeDevices(namespace, [
    ...addressesOf(device)
      .filter((address) => !goal.includes(address))
      .map((address) => ["addr", "del", address, "dev", name]),
    ...wanted.addresses.map(({ address, prefix, family }) => {
      const options = family === "ipv6" ? ["nodad"] : ["brd", "+"];
      return ["addr", "replace", `${address}/${prefix}`, ...options, "dev", name, ...life];
    }),
    ...(six && wanted.linkLocal !== null
      ? [["addr", "replace", `${wanted.linkLocal}/64`, "nodad", "dev", name, "scope", "link"]]
      : []),
    ["link", "set", "dev", name, "up"],
  ]);
  await namespace.run(["ip", ...route("-4", gateway("ipv4"))]);
  if (six) await namespace.run(["ip", ...route("-6", gateway("ipv6"))]);
}

function rendered({ addresses }: WantedAddresses): readonly string[] {
  return addresses.map(({ address, prefix }) => `${address}/${prefix}`).toSorted();
}
