/**
 * The system calls that no instrument may make, in the form of the `security.syscalls.deny` key.
 *
 * Invariants: arguments that the kernel truncates to 32 bits are compared after masking, or by "greater than":
 * a comparison for equality looks at all 64 bits, and a caller who sets the upper half walks past it. What LXD denies
 * by default (module loading, kexec, open_by_handle_at) stays denied by `deny_default`.
 * Sources: lxc.container.conf(5) on seccomp, LXD's doc/instances.md; each line was tried from inside a container.
 */

import type { ContainmentLayer } from "@bulkhead/schema";
import { EVERY_LAYER } from "./weakening.ts";

const EPERM = 1;
const ENOSYS = 38;
const ENOPROTOOPT = 92;
const EAFNOSUPPORT = 97;

/** Address families up to AF_PACKET stay; all above it are kernel surface that no instrument needs. */
const AF_PACKET = 17;
/** <linux/sched.h> */
const CLONE_NEWUSER = 0x1000_0000;
/** <linux/socket.h>, <linux/if_packet.h> */
const SOL_PACKET = 263;
const PACKET_RX_RING = 5;
const PACKET_TX_RING = 13;
const PACKET_FANOUT_DATA = 22;
/** <asm-generic/socket.h> */
const SOL_SOCKET = 1;
/**
 * Programs that the kernel would run for each frame, at the expense of whoever sends it: with 40 of them in one
 * instrument, all other taps fell to 0.005 of their rate. A tap's filter stands in the site and runs once.
 */
const FILTER_OPTIONS = {
  SO_ATTACH_FILTER: 26,
  SO_ATTACH_BPF: 50,
  SO_ATTACH_REUSEPORT_CBPF: 51,
  SO_ATTACH_REUSEPORT_EBPF: 52,
} as const;
/** What the kernel keeps of an `int` argument. */
const LOWER_HALF = 0xffff_ffff;

/** Calls denied whatever their arguments, by what they would open. */
const wholeCalls = {
  namespaces: ["unshare", "setns"],
  mounts: ["mount", "umount2", "pivot_root", "mount_setattr", "move_mount", "open_tree"],
  fileSystems: ["fsopen", "fsconfig", "fsmount", "fspick", "quotactl", "swapon", "acct"],
  handles: ["name_to_handle_at"],
  keys: ["keyctl", "add_key", "request_key"],
  otherProcesses: ["ptrace", "process_vm_readv", "process_vm_writev", "pidfd_getfd", "kcmp"],
  kernelSurface: ["bpf", "userfaultfd", "perf_event_open", "fanotify_init", "personality"],
  ports: ["iopl", "ioperm"],
} as const;

/**
 * Text of `security.syscalls.deny`, one rule a line.
 *
 * @param packetRings whether receive rings stay possible: their memory escapes `limits.memory`, so only an instrument
 *   with NET_RAW keeps them, and warden watches its rings from outside
 * @param without layers left out, for a canary alone
 */
export function renderSyscallDenials(
  packetRings: boolean,
  without: ReadonlySet<ContainmentLayer> = EVERY_LAYER,
): string {
  const on = (layer: ContainmentLayer, rules: readonly string[]) => (without.has(layer) ? [] : rules);
  const whole = (layer: ContainmentLayer, ...groups: readonly (keyof typeof wholeCalls)[]) =>
    on(
      layer,
      groups.flatMap((group) => wholeCalls[group].map((call) => `${call} errno ${EPERM}`)),
    );
  const missing = (layer: ContainmentLayer, calls: readonly string[]) =>
    on(
      layer,
      calls.map((call) => `${call} errno ${ENOSYS}`),
    );
  const rules = [
    ...on("seccomp-sockets", [`socket errno ${EAFNOSUPPORT} [0,${AF_PACKET},SCMP_CMP_GT]`]),
    ...on("seccomp-namespaces", [
      `clone errno ${EPERM} [0,${CLONE_NEWUSER},SCMP_CMP_MASKED_EQ,${CLONE_NEWUSER}]`,
    ]),
    ...missing("seccomp-namespaces", ["clone3"]),
    ...missing("seccomp-kernel", ["io_uring_setup", "io_uring_enter", "io_uring_register"]),
    // The 32-bit way to every socket call; its arguments lie in memory where seccomp cannot look.
    ...missing("seccomp-sockets", ["socketcall"]),
    ...whole("seccomp-namespaces", "namespaces"),
    ...whole("seccomp-mounts", "mounts", "fileSystems", "handles"),
    ...whole("seccomp-keys", "keys"),
    ...whole("seccomp-processes", "otherProcesses"),
    ...whole("seccomp-kernel", "kernelSurface", "ports"),
    // "No such option": libpcap then filters by itself.
    ...on(
      "seccomp-sockets",
      Object.values(FILTER_OPTIONS).map((option) => optionRule(ENOPROTOOPT, SOL_SOCKET, option)),
    ),
    ...on("seccomp-sockets", [
      optionRule(ENOPROTOOPT, SOL_PACKET, PACKET_FANOUT_DATA),
      // Nobody sends from a packet socket: a receive ring is what a tap's tool may need.
      optionRule(EPERM, SOL_PACKET, PACKET_TX_RING),
      ...(packetRings ? [] : [optionRule(EPERM, SOL_PACKET, PACKET_RX_RING)]),
    ]),
  ];
  return rules.join("\n");
}

function optionRule(errno: number, level: number, option: number): string {
  const is = (index: number, value: number) => `[${index},${value},SCMP_CMP_MASKED_EQ,${LOWER_HALF}]`;
  return `setsockopt errno ${errno} ${is(1, level)}${is(2, option)}`;
}
