/**
 * What surrounds a canary in place of a sensor's networks: a namespace that stands for everybody else's, and for an
 * instrument with a tap an engine with a span device of its own, wired so that any frame which came past the wire's
 * guards would go out at the span.
 *
 * Invariants: real spans, wires and segments are never touched; the wire and the span are made by the same code as
 * an instrument's; the way from wire to span is added here, and no instrument has it.
 */
import { CANARY_NAME, type ContainmentLayer, type InstrumentSpec } from "@bulkhead/schema";
import type { Commands } from "../commands.ts";
import type { Datapath } from "../datapath/datapath.ts";
import { nameState } from "../datapath/named-namespaces.ts";
import { hostNamespace, observeLinks } from "../datapath/namespace.ts";
import { spanDeviceName, wireDeviceName } from "../datapath/naming.ts";

export interface CanaryStand {
  readonly netnsFile: string;
  /** Makes the namespace; true where the instrument is to be connected by a wire. */
  prepare(
    spec: InstrumentSpec,
    without: ReadonlySet<ContainmentLayer>,
  ): Promise<{ readonly engine: boolean }>;
  connect(pid: number, without: ReadonlySet<ContainmentLayer>): Promise<void>;
  remove(): Promise<void>;
}

/** Interface of the stand-in's site, and the far end of its device. */
const SPAN = "span";
const FAR_END = "far0";
/** Addresses of the stand-in for everybody else: a cloud's metadata service, a resolver, a segment's machine. */
const ADDRESSES = ["169.254.169.254/32", "192.0.2.53/24"] as const;
const ALL = ["protocol", "all", "bpf", "bytecode", "1,6 0 0 262144"] as const;

export function canaryStand(commands: Commands, slug: string, datapath: Datapath): CanaryStand {
  const netns = `${slug}-${CANARY_NAME}`;
  const farNetns = `${slug}-${CANARY_NAME}-far`;
  const device = `bhc${slug.length.toString(36)}${hash(slug)}`;
  const ip = async (...args: readonly string[]): Promise<void> => void (await commands.run(["ip", ...args]));
  const remove = async (): Promise<void> => {
    // Wires go with the engine; the span's device comes back to the host.
    await datapath.removeEngine(CANARY_NAME);
    const present = (await observeLinks(hostNamespace(commands))).some(({ ifname }) => ifname === device);
    if (present) await ip("link", "del", "dev", device);
    if ((await nameState(farNetns)) !== "absent") await ip("netns", "del", farNetns);
  };

  return {
    netnsFile: `/run/netns/${netns}`,
    remove,

    async prepare(spec, without) {
      await datapath.createEngine(CANARY_NAME);
      const { kind } = spec.network;
      if (kind !== "engine") {
        await ip("-n", netns, "link", "set", "dev", "lo", "up");
        for (const address of ADDRESSES) await ip("-n", netns, "addr", "add", address, "dev", "lo");
      }
      if (kind !== "mirror" && kind !== "engine") return { engine: false };
      await ip("netns", "add", farNetns);
      await ip(
        "link",
        "add",
        "name",
        device,
        "mtu",
        "1500",
        "type",
        "veth",
        "peer",
        "name",
        FAR_END,
        "netns",
        farNetns,
      );
      await ip("-n", farNetns, "link", "set", "dev", FAR_END, "addrgenmode", "none", "up");
      await datapath.takeSpan({ engine: CANARY_NAME, interface: SPAN, device });
      if (without.has("span-egress")) {
        await commands.run(["tc", "-n", netns, "filter", "del", "dev", spanDeviceName(SPAN), "egress"]);
      }
      return { engine: kind === "mirror" };
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
