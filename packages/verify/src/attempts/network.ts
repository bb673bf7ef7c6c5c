/** Attempts to reach anybody over a network, or to change the network that it was given. */
import type { InstrumentSpec } from "@bulkhead/schema";
import type { Attempt } from "../attempt.ts";
import { bytes, byBoth, syscall } from "./acts.ts";

const CANARY = { kind: "canary" } as const;
const UNREACHABLE = [
  "ENETUNREACH",
  "EHOSTUNREACH",
  "ECONNREFUSED",
  "EADDRNOTAVAIL",
  "EACCES",
  "EPERM",
] as const;
const AF_INET = 2;
const AF_NETLINK = 16;
const AF_PACKET = 17;
const RAW = 3;

const hasNoTap = (spec: InstrumentSpec): boolean => !spec.capabilities.includes("NET_RAW");
const ownsNothing = (spec: InstrumentSpec): boolean =>
  spec.network.kind === "none" || spec.network.kind === "mirror";

/** Such a namespace belongs to warden: the container is a guest in it. */
const isJoined = (spec: InstrumentSpec): boolean => !ownsNothing(spec);

interface Target {
  readonly id: string;
  readonly host: string;
  readonly means: string;
}

const TARGETS: readonly Target[] = [
  {
    id: "host-service",
    host: "127.0.0.1",
    means: "Connect to a service that the host offers to itself alone, as the bus's broker.",
  },
  {
    id: "cloud-metadata",
    host: "169.254.169.254",
    means: "Ask the cloud's metadata service for the host's credentials.",
  },
  {
    id: "segment-machine",
    host: "192.0.2.53",
    means: "Connect to a machine of a network, or to another instrument's port.",
  },
];

const CONNECTIONS: readonly Attempt[] = TARGETS.flatMap(({ id, host, means }) =>
  byBoth({
    id: `tcp-${id}`,
    group: "network",
    means,
    expected: UNREACHABLE,
    layers: ["network-namespace"],
    control: CANARY,
    applies: ownsNothing,
    witness: { kind: "decoy", name: `tcp ${host}` },
    run: (machine, { decoyPort }) => machine.tcp(host, decoyPort),
  }),
);

export const NETWORK: readonly Attempt[] = [
  ...CONNECTIONS,
  ...byBoth({
    id: "udp-resolver",
    group: "network",
    means: "Send a datagram to a resolver, the way of DNS tunnels.",
    // Sending to its own loopback succeeds and reaches nobody: the far side is the witness.
    expected: [...UNREACHABLE],
    layers: ["network-namespace"],
    control: CANARY,
    applies: ownsNothing,
    witness: { kind: "decoy", name: "udp" },
    run: async (machine, { decoyPort }) => {
      const deed = await machine.udp("192.0.2.53", decoyPort);
      await new Promise((resolve) => setTimeout(resolve, 200));
      return deed;
    },
  }),
  ...byBoth({
    id: "udp-broadcast",
    group: "network",
    means: "Shout to everybody on the network (broadcast).",
    expected: UNREACHABLE,
    layers: ["network-namespace"],
    control: {
      kind: "none",
      why: "the stand-in has no broadcast network; the same datagram to one machine has a control",
    },
    applies: ownsNothing,
    witness: { kind: "decoy", name: "udp" },
    run: (machine, { decoyPort }) => machine.udp("255.255.255.255", decoyPort),
  }),
  ...byBoth({
    id: "ipv6-neighbours",
    group: "network",
    means: "Speak to every neighbour over IPv6 (all-nodes multicast).",
    expected: [...UNREACHABLE, "EINVAL", "EAFNOSUPPORT"],
    layers: ["network-namespace", "ipv6-off"],
    control: { kind: "none", why: "the stand-in's namespace has no IPv6 either; IPv4 has a control" },
    applies: ownsNothing,
    witness: { kind: "decoy", name: "udp" },
    run: (machine, { decoyPort }) => machine.udp("ff02::1", decoyPort),
  }),
  ...byBoth({
    id: "abstract-socket",
    group: "network",
    means: "Connect to a program of the host by a socket without a file (abstract name).",
    expected: ["ECONNREFUSED"],
    layers: ["network-namespace"],
    control: CANARY,
    applies: ownsNothing,
    witness: { kind: "decoy", name: "unix" },
    run: (machine) => machine.unix("\0bulkhead-verify"),
  }),
  ...byBoth(
    {
      id: "raw-socket",
      group: "network",
      means: "Send packets that it made itself, with any sender (raw IP socket).",
      expected: ["EPERM"],
      layers: ["capabilities"],
      control: CANARY,
      applies: (spec) => hasNoTap(spec) && !isJoined(spec),
      witness: { kind: "socket-table", table: "raw" },
      run: syscall("socket", [AF_INET, RAW, 1], { closes: true }),
    },
    {
      control: {
        kind: "none",
        why: "its user has no capability in any form of the profile; the root's attempt has a control",
      },
    },
  ),
  ...byBoth(
    {
      id: "packet-socket",
      group: "network",
      means: "Read and send whole frames, also others' (packet socket).",
      expected: ["EPERM"],
      layers: ["capabilities"],
      control: CANARY,
      applies: (spec) => hasNoTap(spec) && !isJoined(spec),
      witness: { kind: "socket-table", table: "packet" },
      run: syscall("socket", [AF_PACKET, RAW, 0x0300], { closes: true }),
    },
    {
      control: {
        kind: "none",
        why: "its user has no capability in any form of the profile; the root's attempt has a control",
      },
    },
  ),
  ...byBoth({
    id: "joined-packet-socket",
    group: "network",
    means: "Read and send frames of its own making in the namespace that warden gave it.",
    expected: ["EPERM"],
    layers: ["capabilities", "idmap"],
    control: {
      kind: "none",
      why: "the namespace belongs to the host: no right of the container counts there",
    },
    applies: isJoined,
    witness: { kind: "socket-table", table: "packet" },
    run: syscall("socket", [AF_PACKET, RAW, 0x0300], { closes: true }),
  }),
  {
    id: "new-device-root",
    group: "network",
    means: "Make a network device of its own, through which to go around guards.",
    actor: "root",
    expected: ["EPERM"],
    layers: ["capabilities"],
    control: CANARY,
    applies: ownsNothing,
    witness: { kind: "device", name: "bhv0" },
    run: (machine) => {
      const socket = machine.call("socket", AF_NETLINK, RAW, 0).value;
      const answer = newDummy(machine, socket);
      return {
        answer,
        undo: () => {
          if (answer === "done") askLink(machine, socket, 17, "bhv0");
          machine.call("close", socket);
        },
      };
    },
  },
  {
    id: "tunnel-device-root",
    group: "network",
    means: "Make a tunnel device (tun), the way of virtual private networks.",
    actor: "root",
    expected: ["EPERM", "ENOENT", "EACCES"],
    layers: ["capabilities"],
    control: CANARY,
    applies: ownsNothing,
    witness: { kind: "device", name: "bhvtun" },
    run: (machine) => {
      const file = machine.call("openat", -100, "/dev/net/tun", 2, 0);
      if (file.errno !== null) return { answer: file.errno };
      const request = new Uint8Array(40);
      request.set(Buffer.from("bhvtun"));
      request[16] = 1; // IFF_TUN
      const { errno } = machine.call("ioctl", file.value, 0x400454ca, request);
      return { answer: errno ?? "done", undo: () => void machine.call("close", file.value) };
    },
  },
  {
    id: "loopback-down-root",
    group: "network",
    means: "Change the network devices that it was given.",
    actor: "root",
    expected: ["EPERM"],
    layers: ["capabilities"],
    control: CANARY,
    applies: ownsNothing,
    witness: {
      kind: "answer",
      why: "the device is set to what it is, so that nothing changes where it is let in",
    },
    run: (machine) => {
      const socket = machine.call("socket", AF_NETLINK, RAW, 0).value;
      const answer = askLink(machine, socket, 16, "lo");
      return { answer, undo: () => void machine.call("close", socket) };
    },
  },
];

type Caller = Parameters<Attempt["run"]>[0];

/** RTM_NEWLINK of a dummy device (rtnetlink(7)): header, ifinfomsg, IFLA_IFNAME, IFLA_LINKINFO{KIND}. */
function newDummy(machine: Caller, socket: number): string {
  const name = attribute(3, Buffer.from("bhv0\0"));
  const kind = attribute(18, attribute(1, Buffer.from("dummy\0")));
  return ask(machine, socket, 16, 0x605, Buffer.concat([name, kind]));
}

/** RTM_NEWLINK (16) or RTM_DELLINK (17) of a device that is there. */
function askLink(machine: Caller, socket: number, type: number, name: string): string {
  return ask(machine, socket, type, 0x5, attribute(3, Buffer.from(`${name}\0`)));
}

function ask(machine: Caller, socket: number, type: number, flags: number, attributes: Buffer): string {
  const size = 32 + attributes.length;
  const message = Buffer.concat([
    bytes(32, [0, 4, size], [4, 2, type], [6, 2, flags], [8, 4, 1]),
    attributes,
  ]);
  const sent = machine.call("sendto", socket, message, message.length, 0, 0, 0);
  if (sent.errno !== null) return sent.errno;
  const reply = Buffer.alloc(4096);
  const received = machine.call("recvfrom", socket, reply, reply.length, 0, 0, 0);
  if (received.errno !== null) return received.errno;
  // NLMSG_ERROR (2): a negative errno, or 0 for "done".
  if (reply.readUInt16LE(4) !== 2) return "EPROTO";
  const code = -reply.readInt32LE(16);
  return code === 0 ? "done" : code === 1 ? "EPERM" : code === 95 ? "EOPNOTSUPP" : `E${code}`;
}

function attribute(type: number, payload: Uint8Array): Buffer {
  const size = 4 + payload.length;
  const padded = Buffer.alloc((size + 3) & ~3);
  padded.writeUInt16LE(size, 0);
  padded.writeUInt16LE(type, 2);
  padded.set(payload, 4);
  return padded;
}
