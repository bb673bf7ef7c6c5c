/** Attempts to take memory, time of the kernel's or room in its tables by sockets. */
import type { Attempt } from "../attempt.ts";
import { bytes, holdDescriptors, syscall } from "./acts.ts";

const CANARY = { kind: "canary" } as const;

const RING_WITHOUT_SOCKET = {
  group: "resources",
  actor: "user",
  expected: ["EPERM"],
  layers: ["seccomp-sockets"],
  control: CANARY,
  applies: (spec) => !spec.capabilities.includes("NET_RAW"),
  witness: {
    kind: "answer",
    why: "without NET_RAW there is no packet socket: none is named, so that no ring is made where it is let in",
  },
} as const satisfies Partial<Attempt>;

export const SOCKET_RESOURCES: readonly Attempt[] = [
  {
    ...RING_WITHOUT_SOCKET,
    id: "packet-ring",
    means: "Take memory outside of its limit by a packet ring.",
    run: syscall("setsockopt", () => [1_000_000, 263, 5, bytes(16), 16], { reached: ["EBADF"] }),
  },
  {
    ...RING_WITHOUT_SOCKET,
    id: "packet-ring-high-bits",
    means: "The same with bits set that the kernel ignores and a filter might compare.",
    run: syscall("setsockopt", () => [1_000_000, 0x1_0000_0107n, 0x1_0000_0005n, bytes(16), 16], {
      reached: ["EBADF"],
    }),
  },
  {
    id: "sockets",
    group: "resources",
    means: "Open sockets without end.",
    actor: "user",
    expected: ["EMFILE"],
    layers: ["open-files-limit"],
    control: CANARY,
    witness: { kind: "descriptor-count", above: 4096 },
    run: holdDescriptors(4500, "socket", 1, 2, 0),
  },
  {
    id: "socket-filter",
    group: "resources",
    means:
      "Have the kernel run a long program of its own for each packet, at the expense of whoever sends it.",
    actor: "user",
    expected: ["ENOPROTOOPT"],
    layers: ["seccomp-sockets"],
    control: CANARY,
    witness: { kind: "network", what: "sockets", pattern: "bpf filter" },
    run: (machine) => {
      const socket = machine.call("socket", 2, 2, 0).value;
      // Bound, because ss(8) shows no other; a filter of 4,095 times "next" and one "take all" (socket(7))
      machine.call("bind", socket, Buffer.from("02000000000000000000000000000000", "hex"), 16);
      const program = Buffer.alloc(4096 * 8);
      program.set([6, 0, 0, 0, 0xff, 0xff, 0, 0], 4095 * 8);
      const { errno } = machine.attachFilter(socket, program);
      return { answer: errno ?? "done", undo: () => void machine.call("close", socket) };
    },
  },
  {
    id: "sending-ring",
    group: "resources",
    means: "Take memory outside of its limit by a ring of frames to be sent.",
    actor: "user",
    expected: ["EPERM"],
    layers: ["seccomp-sockets"],
    control: CANARY,
    applies: (spec) => spec.capabilities.includes("NET_RAW"),
    witness: { kind: "network", what: "sockets", pattern: "ring_tx" },
    run: (machine) => {
      const socket = machine.call("socket", 17, 3, 0).value;
      // tpacket_req: block size, blocks, frame size, frames (packet_mmap in the kernel's documentation)
      const ring = bytes(16, [0, 4, 4096], [4, 4, 4], [8, 4, 2048], [12, 4, 8]);
      const { errno } = machine.call("setsockopt", socket, 263, 13, ring, 16);
      return { answer: errno ?? "done", undo: () => void machine.call("close", socket) };
    },
  },
];
