/**
 * Attempts in a network namespace that belongs to warden: on a port of a segment and on a device of its own. Whoever is
 * inside holds no capability there, so that only the host's root, inside of it, can show what would happen.
 */
import type { ContainmentLayer, InstrumentSpec } from "@bulkhead/schema";
import type { Machine } from "../adversary/machine.ts";
import type { Attempt, Deed } from "../attempt.ts";
import { byBoth, bytes } from "./acts.ts";
import { addAddress, askLink, deleteTable, newBridge } from "./netlink.ts";

type Kind = "port" | "nic";
const DEVICE = "eth0";
const NAMESPACE = { kind: "namespace" } as const;
const EVERYBODY = "ffffffffffff";
const OWN_MAC = "OWN";
const FAKE_MAC = "02cccccccc99";
/** 192.0.2.99 and fe80::99: nobody's; the far end counts what comes from there. */
const FAKE_IP = "c0000263";
const FAKE_IP6 = `fe80${"0".repeat(26)}99`;
const ALL_NODES = `ff02${"0".repeat(26)}01`;

/** Frames that no instrument may send, as hex; OWN stands for the device's own hardware address. */
const FRAMES: readonly { readonly id: string; readonly means: string; readonly hex: string }[] = [
  { id: "own-frame", means: "Send a frame of its own making.", hex: `${EVERYBODY}${OWN_MAC}88b5626c6b68` },
  {
    id: "spoofed-mac",
    means: "Send in another machine's name (hardware address).",
    hex: `${EVERYBODY}${FAKE_MAC}08004500001400000000401100007f000001c0000235`,
  },
  {
    id: "spoofed-ip",
    means: "Send in another machine's name (IP address).",
    hex: `${EVERYBODY}${OWN_MAC}0800450000140000000040110000${FAKE_IP}c0000235`,
  },
  {
    id: "arp-lie",
    means: "Answer for another machine's address (ARP), to be sent what is meant for it.",
    hex: `${EVERYBODY}${OWN_MAC}08060001080006040002${OWN_MAC}${FAKE_IP}ffffffffffffc0000235`,
  },
  {
    id: "neighbour-lie",
    means: "Answer for another machine's IPv6 address (neighbour discovery).",
    hex: `333300000001${OWN_MAC}86dd6000000000183aff${FAKE_IP6}${ALL_NODES}8800000020000000${FAKE_IP6}`,
  },
  {
    id: "router-lie",
    means: "Announce itself as the network's router, to be sent everything.",
    hex: `333300000001${OWN_MAC}86dd6000000000103aff${FAKE_IP6}${ALL_NODES}86000000400007080000000000000000`,
  },
  {
    id: "vlan-tag",
    means: "Reach another VLAN by a tag of its own.",
    hex: `${EVERYBODY}${OWN_MAC}81000014080045`,
  },
  {
    id: "dhcp-lie",
    means: "Answer as the network's address server, to give others a router of its choice.",
    hex: `${EVERYBODY}${OWN_MAC}08004500001c0000000040110000c000020ac00002350043004400080000`,
  },
];

const isKind = (kind: Kind) => (spec: InstrumentSpec) => spec.network.kind === kind;

export const JOINED: readonly Attempt[] = (["port", "nic"] as const).flatMap((kind) => [
  ...FRAMES.flatMap(({ id, means, hex }) =>
    byBoth({
      ...common(kind),
      id: `${kind}-${id}`,
      means,
      layers: kind === "port" ? ["idmap", "segment-rules"] : ["idmap"],
      witness: { kind: "frames" },
      run: (machine) => sendFrame(machine, hex),
    }),
  ),
  ...byBoth({
    ...common(kind),
    id: `${kind}-packet-socket`,
    means: "Read every frame that comes to the device, whoever it is for.",
    witness: { kind: "socket-table", table: "packet" },
    run: (machine) => openSocket(machine, [17, 3, 0x0300]),
  }),
  ...byBoth({
    ...common(kind),
    id: `${kind}-raw-socket`,
    means: "Send packets that it made itself, with any sender (raw IP socket).",
    witness: { kind: "socket-table", table: "raw" },
    run: (machine) => openSocket(machine, [2, 3, 1]),
  }),
  ...byBoth({
    ...common(kind),
    id: `${kind}-hardware-address`,
    means: "Give its device another hardware address.",
    witness: { kind: "network", what: "links", pattern: `${DEVICE}.*02:cc:cc:cc:cc:98` },
    run: (machine) => {
      const former = hardwareAddress(machine);
      const set = (mac: Buffer) => deviceCall(machine, 0x8924, Buffer.concat([Buffer.from([1, 0]), mac]));
      const answer = set(Buffer.from("02cccccccc98", "hex"));
      return { answer, undo: () => void (answer === "done" && set(former)) };
    },
  }),
  ...byBoth({
    ...common(kind),
    id: `${kind}-promiscuous`,
    means: "Have its device take frames that are for others (promiscuous).",
    witness: { kind: "network", what: "links", pattern: `${DEVICE}.*PROMISC` },
    // IFF_UP | IFF_PROMISC, and without it again
    run: (machine) => {
      const answer = deviceCall(machine, 0x8914, bytes(2, [0, 2, 0x101]));
      return {
        answer,
        undo: () => void (answer === "done" && deviceCall(machine, 0x8914, bytes(2, [0, 2, 1]))),
      };
    },
  }),
  ...byBoth({
    ...common(kind),
    id: `${kind}-device-down`,
    means: "Take its device down, to bring it up again as it likes.",
    witness: { kind: "network", what: "links", pattern: `${DEVICE}.*[<,]UP[,>]` },
    run: (machine) => {
      const answer = deviceCall(machine, 0x8914, bytes(2));
      return {
        answer,
        undo: () => void (answer === "done" && deviceCall(machine, 0x8914, bytes(2, [0, 2, 1]))),
      };
    },
  }),
  ...byBoth({
    ...common(kind),
    id: `${kind}-second-address`,
    means: "Give itself another address of the network.",
    witness: { kind: "network", what: "addresses", pattern: "192\\.0\\.2\\.77" },
    run: (machine) => {
      const index = interfaceIndex(machine);
      const answer = addAddress(machine, index, "c000024d", true);
      return {
        answer,
        undo: () => void (answer === "done" && addAddress(machine, index, "c000024d", false)),
      };
    },
  }),
  ...byBoth({
    ...common(kind),
    id: `${kind}-new-device`,
    means: "Make a network device of its own, through which to go around guards.",
    witness: { kind: "device", name: "bhv0" },
    run: (machine) => {
      const answer = newBridge(machine);
      return { answer, undo: () => void (answer === "done" && askLink(machine, 17, "bhv0")) };
    },
  }),
  ...byBoth({
    ...common(kind),
    id: `${kind}-host-service`,
    means: "Connect to a service that the host offers to itself alone, as the bus's broker.",
    expected: ["ECONNREFUSED"],
    layers: ["network-namespace"],
    control: { kind: "host" },
    witness: { kind: "decoy", name: "tcp 127.0.0.1" },
    run: (machine, { hostPort }) => machine.tcp("127.0.0.1", hostPort),
  }),
  ...byBoth({
    ...common(kind),
    id: `${kind}-abstract-socket`,
    means: "Connect to a program of the host by a socket without a file (abstract name).",
    expected: ["ECONNREFUSED"],
    layers: ["network-namespace"],
    control: { kind: "host" },
    witness: { kind: "decoy", name: "unix" },
    run: (machine, { hostPort }) => machine.unix(`\0bulkhead-verify-${hostPort}`),
  }),
]);

/** Of a port alone: there are rules in its namespace. */
export const RULES_REMOVED: readonly Attempt[] = byBoth({
  ...common("port"),
  id: "port-remove-rules",
  means: "Remove the rules that say what may pass.",
  witness: { kind: "network", what: "tables", pattern: "bulkhead" },
  run: (machine) => ({ answer: deleteTable(machine, "bulkhead") }),
});

function common(kind: Kind): Omit<Attempt, "id" | "means" | "witness" | "run" | "actor"> {
  const layers: readonly ContainmentLayer[] = ["idmap"];
  return {
    group: "network",
    expected: ["EPERM"],
    layers,
    control: NAMESPACE,
    applies: isKind(kind),
  };
}

function openSocket(machine: Machine, args: readonly [number, number, number]): Deed {
  const { value, errno } = machine.call("socket", ...args);
  return { answer: errno ?? "done", undo: () => void (errno === null && machine.call("close", value)) };
}

/** Sends one frame by a packet socket, and gives it time to arrive. */
async function sendFrame(machine: Machine, hex: string): Promise<Deed> {
  const socket = machine.call("socket", 17, 3, 0);
  if (socket.errno !== null) return { answer: socket.errno };
  const frame = Buffer.alloc(90);
  frame.set(Buffer.from(hex.replaceAll(OWN_MAC, hardwareAddress(machine).toString("hex")), "hex"));
  // sockaddr_ll: family, protocol, ifindex, hatype, pkttype, halen, addr[8]
  const address = bytes(20, [0, 2, 17], [4, 4, interfaceIndex(machine)], [11, 1, 6]);
  const sent = machine.call("sendto", socket.value, frame, frame.length, 0, address, address.length);
  await new Promise((resolve) => setTimeout(resolve, 150));
  machine.call("close", socket.value);
  return { answer: sent.errno ?? "done" };
}

/** ioctl of netdevice(7): struct ifreq with the device's name and this content. */
function deviceCall(machine: Machine, request: number, content: Uint8Array): string {
  return asked(machine, request, content).errno ?? "done";
}

function hardwareAddress(machine: Machine): Buffer {
  // SIOCGIFHWADDR
  return Buffer.from(asked(machine, 0x8927, new Uint8Array(16)).reply.subarray(18, 24));
}

function interfaceIndex(machine: Machine): number {
  // SIOCGIFINDEX
  return Buffer.from(asked(machine, 0x8933, new Uint8Array(4)).reply).readInt32LE(16);
}

function asked(machine: Machine, request: number, content: Uint8Array) {
  const socket = machine.call("socket", 2, 2, 0).value;
  const reply = new Uint8Array(40);
  reply.set(Buffer.from(DEVICE));
  reply.set(content, 16);
  const { errno } = machine.call("ioctl", socket, request, reply);
  machine.call("close", socket);
  return { errno, reply };
}
