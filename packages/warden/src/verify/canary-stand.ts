/**
 * What surrounds a canary in place of a sensor's networks: a namespace that stands for everybody else's, and for an
 * instrument with a tap an engine with a span device of its own, wired so that any frame which came past the wire's
 * guards would go out at the span.
 *
 * Invariants: real spans, wires and segments are never touched; the wire and the span are made by the same code as
 * an instrument's; the way from wire to span is added here, and no instrument has it.
 */
import type { DesiredPort } from "@bulkhead/core";
import { CANARY_NAME, type ContainmentLayer, type InstrumentSpec } from "@bulkhead/schema";
import type { Commands } from "../commands.ts";
import type { Datapath } from "../datapath/datapath.ts";
import { nameState } from "../datapath/named-namespaces.ts";
import { hostNamespace, observeLinks } from "../datapath/namespace.ts";
import { spanDeviceName, wireDeviceName } from "../datapath/naming.ts";
import { canaryNetwork } from "./canary-network.ts";

export interface CanaryStand {
  /**
   * Makes the namespaces.
   *
   * @param real the instrument's port, where it has one
   * @returns `engine`: the canary is to be connected by a wire; `netnsFile`: where everybody else is
   */
  prepare(
    spec: InstrumentSpec,
    real: DesiredPort | null,
    without: ReadonlySet<ContainmentLayer>,
  ): Promise<{ readonly engine: boolean; readonly netnsFile: string }>;
  connect(pid: number, without: ReadonlySet<ContainmentLayer>): Promise<void>;
  remove(): Promise<void>;
}

/** Interface of the stand-in's site, and the far end of its device. */
const SPAN = "span";
const FAR_END = "far0";
/** Addresses of the stand-in for everybody else: a cloud's metadata service, a resolver, a segment's machine. */
const ADDRESSES = ["169.254.169.254/32", "192.0.2.53/24"] as const;
/** Of the stand-in for the Internet: a resolver, a public machine, and what no proxy may reach. */
const OUTSIDE = ["93.184.215.1/32", "93.184.215.14/32", "10.66.0.5/32", "169.254.169.254/32"] as const;
const ALL = ["protocol", "all", "bpf", "bytecode", "1,6 0 0 262144"] as const;

export function canaryStand(commands: Commands, slug: string, datapath: Datapath): CanaryStand {
  const netns = `${slug}-${CANARY_NAME}`;
  // An underscore is in no instrument's name.
  const farNetns = `${slug}-${CANARY_NAME}_far`;
  const outNetns = `${slug}-${CANARY_NAME}_out`;
  const network = canaryNetwork(commands, slug);
  const device = `bhc${slug.length.toString(36)}${hash(slug)}`;
  const ip = async (...args: readonly string[]): Promise<void> => void (await commands.run(["ip", ...args]));
  const remove = async (): Promise<void> => {
    await network.remove();
    // Wires go with the engine; the span's device comes back to the host.
    await datapath.removeEngine(CANARY_NAME);
    const present = (await observeLinks(hostNamespace(commands))).some(({ ifname }) => ifname === device);
    if (present) await ip("link", "del", "dev", device);
    for (const name of [farNetns, outNetns])
      if ((await nameState(name)) !== "absent") await ip("netns", "del", name);
  };
  const makeOutside = async (): Promise<void> => {
    await ip("netns", "add", outNetns);
    // The stand-in's resolver is no process with rights.
    await commands.run([
      ...["ip", "netns", "exec", outNetns, "sysctl", "-qw", "net.ipv4.ip_unprivileged_port_start=0"],
    ]);
    await ip("-n", outNetns, "link", "set", "dev", "lo", "up");
    for (const address of OUTSIDE) await ip("-n", outNetns, "addr", "add", address, "dev", "lo");
  };
  const makeDevice = async (): Promise<void> => {
    await ip("netns", "add", farNetns);
    await ip(
      ...["link", "add", "name", device, "mtu", "1500", "type", "veth"],
      ...["peer", "name", FAR_END, "netns", farNetns],
    );
  };

  return {
    remove,

    async prepare(spec, real, without) {
      const { kind } = spec.network;
      if (spec.egress) await makeOutside();
      if (kind === "port" || kind === "nic") {
        await makeDevice();
        await network.connect(kind, { far: farNetns, farDevice: FAR_END, device }, real, without);
        return { engine: false, netnsFile: `/run/netns/${farNetns}` };
      }
      const netnsFile = `/run/netns/${netns}`;
      await datapath.createEngine(CANARY_NAME);
      if (kind !== "engine") {
        await ip("-n", netns, "link", "set", "dev", "lo", "up");
        for (const address of ADDRESSES) await ip("-n", netns, "addr", "add", address, "dev", "lo");
      }
      if (kind !== "mirror" && kind !== "engine") return { engine: false, netnsFile };
      await makeDevice();
      await ip("-n", farNetns, "link", "set", "dev", FAR_END, "addrgenmode", "none", "up");
      await datapath.takeSpan({ engine: CANARY_NAME, interface: SPAN, device });
      if (without.has("span-egress")) {
        await commands.run(["tc", "-n", netns, "filter", "del", "dev", spanDeviceName(SPAN), "egress"]);
      }
      return { engine: kind === "mirror", netnsFile };
    },

    async connect(pid, without) {
      const tap = { engine: CANARY_NAME, instrument: CANARY_NAME };
      await datapath.connectWire({ ...tap, pid });
      const wire = wireDeviceName(slug, tap);
      const leak = ["action", "mirred", "egress", "redirect", "dev", spanDeviceName(SPAN)];
      await commands.run([
        "tc",
        "-n",
        netns,
        "filter",
        "add",
        "dev",
        wire,
        "ingress",
        "prio",
        "9",
        ...ALL,
        ...leak,
      ]);
      if (without.has("wire-xdp")) await ip("-n", netns, "link", "set", "dev", wire, "xdpdrv", "off");
      if (without.has("wire-clsact")) {
        await commands.run(["tc", "-n", netns, "filter", "del", "dev", wire, "ingress", "prio", "1"]);
      }
    },
  };
}

/** Four hex digits: device names have fifteen characters. */
function hash(text: string): string {
  let value = 0x811c9dc5;
  for (const byte of Buffer.from(text)) value = Math.imul(value ^ byte, 0x01000193);
  return (value >>> 0).toString(16).padStart(8, "0");
}
