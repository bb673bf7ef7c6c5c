/** Attempts of an instrument with a tap to send anything back to the network that it watches. */
import type { InstrumentSpec } from "@bulkhead/schema";
import type { Attempt } from "../attempt.ts";
import type { Machine } from "../adversary/machine.ts";
import { bytes } from "./acts.ts";

const AF_PACKET = 17;
const RAW = 3;
const SOL_PACKET = 263;
const PACKET_QDISC_BYPASS = 20;
const GUARDS: Attempt["layers"] = ["wire-xdp", "wire-clsact", "span-egress"];
const hasTap = (spec: InstrumentSpec): boolean =>
  spec.network.kind === "mirror" && spec.capabilities.includes("NET_RAW");

interface Frame {
  readonly id: string;
  readonly means: string;
  readonly bytes: string;
  readonly bypass?: boolean;
}

const SOURCE = "02bbbbbbbb01";
const EVERYBODY = "ffffffffffff";
/** Ethernet headers and what matters of the payloads, as hex; the rest is zeros. */
const FRAMES: readonly Frame[] = [
  {
    id: "frame",
    means: "Send a frame of its own making onto the network that it watches.",
    bytes: `${EVERYBODY}${SOURCE}88b5626c6b68`,
  },
  {
    id: "arp",
    means: "Answer for others' addresses (ARP).",
    bytes: `${EVERYBODY}${SOURCE}080600010800060400020200000000010a1414010200000000020a141402`,
  },
  {
    id: "spoofed-sender",
    means: "Send in another machine's name (hardware address).",
    bytes: `${EVERYBODY}02cccccccc99080045000014`,
  },
  {
    id: "neighbour-discovery",
    means: "Announce itself as an IPv6 neighbour.",
    bytes: `333300000001${SOURCE}86dd6000000000203aff`,
  },
  {
    id: "router-advertisement",
    means: "Announce itself as the network's router.",
    bytes: `333300000001${SOURCE}86dd6000000000103afffe80000000000000000000000000000186`,
  },
  {
    id: "vlan",
    means: "Reach another VLAN by a tag of its own.",
    bytes: `${EVERYBODY}${SOURCE}8100001488b5`,
  },
  {
    id: "double-vlan",
    means: "Reach another VLAN by two tags.",
    bytes: `${EVERYBODY}${SOURCE}88a800148100001e88b5`,
  },
  {
    id: "spanning-tree",
    means: "Disturb the switches (spanning tree).",
    bytes: `0180c2000000${SOURCE}0026424203`,
  },
  {
    id: "queue-bypass",
    means: "Send around the device's queue, where filters sit.",
    bytes: `${EVERYBODY}${SOURCE}88b5626c6b69`,
    bypass: true,
  },
];

export const TAP: readonly Attempt[] = [
  ...FRAMES.map(({ id, means, bytes: hex, bypass = false }): Attempt => ({
    id: `tap-${id}`,
    group: "network",
    means,
    actor: "user",
    // Its own kernel takes the frame: what counts is whether it arrives.
    expected: ["done"],
    layers: GUARDS,
    control: { kind: "canary" },
    witness: { kind: "frames" },
    applies: hasTap,
    run: (machine) => send(machine, hex, bypass),
  })),
  {
    id: "tap-device-down",
    group: "network",
    means: "Change the tap's device, to disturb the capture of others.",
    actor: "user",
    expected: ["EPERM"],
    layers: ["capabilities"],
    control: {
      kind: "none",
      why: "its user holds NET_RAW alone in any form of the profile; the root's attempts have controls",
    },
    witness: { kind: "network", what: "links", pattern: "mon0.*[<,]UP[,>]" },
    applies: hasTap,
    run: (machine) => {
      const socket = machine.call("socket", AF_PACKET, 2, 0).value;
      const request = new Uint8Array(40);
      request.set(Buffer.from("mon0"));
      // Flags without IFF_UP
      const { errno } = machine.call("ioctl", socket, 0x8914, request);
      machine.call("close", socket);
      return { answer: errno ?? "done" };
    },
  },
];

/** Opens a packet socket on mon0, sends one frame, and gives it time to arrive. */
async function send(
  machine: Machine,
  hex: string,
  bypass: boolean,
): Promise<{ readonly answer: string; readonly detail: string }> {
  const index = Number(/^\s*(\d+)/.exec(machine.readText("/sys/class/net/mon0/ifindex"))?.[1] ?? 0);
  const socket = machine.call("socket", AF_PACKET, RAW, 0);
  if (socket.errno !== null) return { answer: socket.errno, detail: "socket" };
  const option = bytes(4, [0, 4, 1]);
  if (bypass) machine.call("setsockopt", socket.value, SOL_PACKET, PACKET_QDISC_BYPASS, option, 4);
  const frame = Buffer.alloc(60);
  frame.set(Buffer.from(hex, "hex"));
  // sockaddr_ll: family, protocol, ifindex, hatype, pkttype, halen, addr[8]
  const address = bytes(20, [0, 2, AF_PACKET], [4, 4, index], [11, 1, 6]);
  const sent = machine.call("sendto", socket.value, frame, frame.length, 0, address, address.length);
  await new Promise((resolve) => setTimeout(resolve, 150));
  machine.call("close", socket.value);
  return { answer: sent.errno ?? "done", detail: sent.errno === null ? "its own kernel took it" : "sendto" };
}
