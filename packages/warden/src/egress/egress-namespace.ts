/**
 * The egress namespace: made, given the site's egress interface alone, ruled, addressed and brought up, in this order;
 * and taken apart again, the device back on the host, down and without addresses.
 *
 * Invariants: it belongs to the host's user namespace; the alias of its `lo` says whose it is, which setup it was made
 * from and which rules it holds; nothing is forwarded, and `lo` is down, for nobody in it has anything to say to itself.
 */
import type { ObservedEgress } from "@bulkhead/schema";
import type { Commands } from "../commands.ts";
import { nameState, namespaceDirectory } from "../datapath/named-namespaces.ts";
import { namespaceAt, type NetworkNamespace, observeDevices, observeLink } from "../datapath/namespace.ts";
import { checkedName } from "../datapath/naming.ts";
import { WardenError } from "../error.ts";
import type { StepOf } from "../hold/ports.ts";
import { hasAddresses, setAddresses, type WantedAddresses } from "../network/device-addresses.ts";
import { addressesOf, deviceNamed, isUp, setSysctls } from "../network/devices.ts";
import { findHeldDevice, returnDevice, takeDevice } from "../network/held-device.ts";
import { ensureNamespace } from "../network/joined-namespace.ts";
import { linkLocalAddress } from "../network/network-names.ts";
import { setRules, tableDigest } from "../network/ruleset.ts";
import { EGRESS_TABLE, type EgressRules, renderEgressRules } from "./egress-rules.ts";

/** The device as the host gave it, and what the addresses are set on where it carries a VLAN. */
const DEVICE = "out0";
const VLAN_DEVICE = "vl0";

export function egressNamespaceFile(slug: string): string {
  return `${namespaceDirectory}/${egressNamespaceName(slug)}`;
}

export function egressNamespaceName(slug: string): string {
  return `${checkedName(slug)}-egress`;
}

/** On which device the addresses are. */
export function egressDevice(vlan: number | null): string {
  return vlan === null ? DEVICE : VLAN_DEVICE;
}

/**
 * Makes it or completes what is missing. Idempotent.
 * @param addresses null: those that are set stay (a lease that nobody knows yet)
 * @throws WardenError `datapath-namespace-foreign`, `datapath-span-claimed`, `datapath-span-in-use`, `egress-device-absent`
 */
export async function openEgress(
  commands: Commands,
  slug: string,
  step: StepOf<"egress.open">,
  rules: EgressRules,
  addresses: WantedAddresses | null,
): Promise<void> {
  const namespace = namespaceAt(commands, egressNamespaceFile(slug));
  const devices = await ensureNamespace(
    commands,
    egressNamespaceName(slug),
    (alias) => parseTag(slug, alias) !== null,
  );
  const tag = { interface: step.interface, setup: "-", rules: "-" };
  await writeTag(namespace, slug, tag);
  await setSysctls(namespace, [
    ["net.ipv6.conf.default.disable_ipv6", "1"],
    ["net.ipv6.conf.default.accept_ra", "0"],
    ["net.ipv6.conf.default.autoconf", "0"],
    ["net.ipv4.ip_forward", "0"],
    ["net.ipv4.conf.all.accept_redirects", "0"],
    ["net.ipv4.conf.default.accept_redirects", "0"],
  ]);
  await setRules(namespace, renderEgressRules(rules));
  const held = findHeldDevice(devices, slug);
  if (held !== null && held.device !== step.device) await returnDevice(namespace, slug);
  if (held?.device !== step.device) {
    const wanted = { holder: step.interface, device: step.device };
    if (!(await takeDevice(commands, slug, wanted, namespace, DEVICE))) {
      throw new WardenError("egress-device-absent", `no device ${step.device}`, {
        fields: { device: step.device },
      });
    }
  }
  const device = egressDevice(step.vlan);
  await ensureVlan(namespace, step.vlan);
  await namespace.run(["ip", "link", "set", "dev", DEVICE, "up"]);
  if (step.vlan !== null) await namespace.run(["ip", "link", "set", "dev", device, "up"]);
  const found = deviceNamed(await observeDevices(namespace), device);
  if (addresses !== null && found !== undefined) {
    // The kernel makes no address by itself here, and neighbour discovery wants one.
    const linkLocal = found.address === undefined ? null : linkLocalAddress(found.address);
    await setAddresses(namespace, found, { ...addresses, linkLocal });
  }
  await writeTag(namespace, slug, {
    ...tag,
    setup: step.setup,
    rules: (await tableDigest(namespace, EGRESS_TABLE)) ?? "-",
  });
}

/** The proxy must have ended. Idempotent; a namespace that is not ours is left alone. */
export async function closeEgress(commands: Commands, slug: string): Promise<void> {
  const name = egressNamespaceName(slug);
  if ((await nameState(name)) !== "namespace") return;
  const namespace = namespaceAt(commands, egressNamespaceFile(slug));
  if ((await readTag(namespace, slug)) === null) return;
  const vlan = await observeLink(namespace, VLAN_DEVICE);
  if (vlan !== undefined) await namespace.run(["ip", "link", "del", "dev", VLAN_DEVICE]);
  await returnDevice(namespace, slug);
  await commands.run(["ip", "netns", "del", name]);
}

/** @param addresses null: not known, and not compared */
export async function observeEgress(
  commands: Commands,
  slug: string,
  addresses: WantedAddresses | null,
): Promise<Omit<ObservedEgress, "policy" | "process" | "noLease"> | null> {
  if ((await nameState(egressNamespaceName(slug))) !== "namespace") return null;
  const namespace = namespaceAt(commands, egressNamespaceFile(slug));
  const tag = await readTag(namespace, slug);
  if (tag === null) return null;
  const devices = await observeDevices(namespace);
  const held = findHeldDevice(devices, slug);
  const vlan = deviceNamed(devices, VLAN_DEVICE);
  const link = vlan ?? held?.link;
  const set = link === undefined ? [] : addressesOf(link);
  const digest = await tableDigest(namespace, EGRESS_TABLE);
  const whole =
    held !== null &&
    isUp(held.link) &&
    tag.setup !== "-" &&
    digest === tag.rules &&
    (addresses === null || (link !== undefined && hasAddresses(link, addresses)));
  return {
    interface: tag.interface,
    device: held?.device ?? null,
    state: whole ? "open" : "broken",
    setup: tag.setup === "-" ? null : tag.setup,
    addresses: [...set],
  };
}

async function ensureVlan(namespace: NetworkNamespace, vlan: number | null): Promise<void> {
  const found = await observeLink(namespace, VLAN_DEVICE);
  // Its id cannot be changed: another VLAN is another device.
  if (found !== undefined) await namespace.run(["ip", "link", "del", "dev", VLAN_DEVICE]);
  if (vlan === null) return;
  const kind = ["type", "vlan", "id", String(vlan)];
  await namespace.run(["ip", "link", "add", "link", DEVICE, "name", VLAN_DEVICE, ...kind]);
}

interface Tag {
  readonly interface: string;
  readonly setup: string;
  readonly rules: string;
}

async function writeTag(namespace: NetworkNamespace, slug: string, tag: Tag): Promise<void> {
  const text = `bulkhead egress ${checkedName(slug)} ${checkedName(tag.interface)} ${tag.setup} ${tag.rules}`;
  await namespace.run(["ip", "link", "set", "dev", "lo", "alias", text]);
}

async function readTag(namespace: NetworkNamespace, slug: string): Promise<Tag | null> {
  return parseTag(slug, (await observeLink(namespace, "lo"))?.ifalias);
}

function parseTag(slug: string, alias: string | undefined): Tag | null {
  const parts = /^bulkhead egress (?<slug>\S+) (?<key>\S+) (?<setup>[0-9a-f]+|-) (?<rules>[0-9a-f]+|-)$/.exec(
    alias ?? "",
  )?.groups;
  if (parts === undefined || parts["slug"] !== slug) return null;
  return { interface: parts["key"] ?? "", setup: parts["setup"] ?? "-", rules: parts["rules"] ?? "-" };
}
