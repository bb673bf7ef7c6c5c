/** Attempts to reach anybody over a network, or to change the network that it was given. */
import type { InstrumentSpec } from "@bulkhead/schema";
import type { Attempt } from "../attempt.ts";
import { byBoth, syscall } from "./acts.ts";
import { askLink, newBridge } from "./netlink.ts";

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
const AF_PACKET = 17;
const RAW = 3;

const hasNoTap = (spec: InstrumentSpec): boolean => !spec.capabilities.includes("NET_RAW");
const ownsNothing = (spec: InstrumentSpec): boolean =>
  spec.network.kind === "none" || spec.network.kind === "mirror";

/** It reads a span: its namespace belongs to warden, and the container is a guest in it. */
const isEngine = (spec: InstrumentSpec): boolean => spec.network.kind === "engine";

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
      applies: (spec) => hasNoTap(spec) && ownsNothing(spec),
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
      applies: (spec) => hasNoTap(spec) && ownsNothing(spec),
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
    layers: ["idmap"],
    control: { kind: "namespace" },
    applies: isEngine,
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
      const answer = newBridge(machine);
      return { answer, undo: () => void (answer === "done" && askLink(machine, 17, "bhv0")) };
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
    witness: { kind: "network", what: "links", pattern: " lo: .*[<,]UP[,>]" },
    run: (machine) => {
      const answer = askLink(machine, 16, "lo", false);
      return { answer, undo: () => void (answer === "done" && askLink(machine, 16, "lo", true)) };
    },
  },
];
