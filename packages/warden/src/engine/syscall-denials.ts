/**
 * The system calls that no instrument may make, in the form of the `security.syscalls.deny` key.
 *
 * Invariants: arguments that the kernel truncates to 32 bits are compared after masking, or by "greater than":
 * a comparison for equality looks at all 64 bits, and a caller who sets the upper half walks past it. What LXD denies
 * by default (module loading, kexec, open_by_handle_at) stays denied by `deny_default`.
 * Sources: lxc.container.conf(5) on seccomp, LXD's doc/instances.md; each line was tried from inside a container.
 */

const EPERM = 1;
const ENOSYS = 38;
const EAFNOSUPPORT = 97;

/** Address families up to AF_PACKET stay; all above it are kernel surface that no instrument needs. */
const AF_PACKET = 17;
/** <linux/sched.h> */
const CLONE_NEWUSER = 0x1000_0000;
/** <linux/socket.h>, <linux/if_packet.h> */
const SOL_PACKET = 263;
const PACKET_RX_RING = 5;
const PACKET_TX_RING = 13;
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

/** Answered as "no such call", so that programs take their other way. */
const missingCalls = ["clone3", "io_uring_setup", "io_uring_enter", "io_uring_register"] as const;

/**
 * Text of `security.syscalls.deny`, one rule a line.
 *
 * @param packetRings whether packet rings stay possible: their memory escapes `limits.memory`, so only an instrument
 *   with NET_RAW keeps them, and warden watches its rings from outside
 */
export function renderSyscallDenials(packetRings: boolean): string {
  const rules = [
    `socket errno ${EAFNOSUPPORT} [0,${AF_PACKET},SCMP_CMP_GT]`,
    `clone errno ${EPERM} [0,${CLONE_NEWUSER},SCMP_CMP_MASKED_EQ,${CLONE_NEWUSER}]`,
    ...missingCalls.map((call) => `${call} errno ${ENOSYS}`),
    // The 32-bit way to every socket call; its arguments lie in memory where seccomp cannot look.
    `socketcall errno ${ENOSYS}`,
    ...Object.values(wholeCalls).flatMap((calls) => calls.map((call) => `${call} errno ${EPERM}`)),
    ...(packetRings ? [] : [PACKET_RX_RING, PACKET_TX_RING].map(ringRule)),
  ];
  return rules.join("\n");
}

function ringRule(option: number): string {
  const is = (index: number, value: number) => `[${index},${value},SCMP_CMP_MASKED_EQ,${LOWER_HALF}]`;
  return `setsockopt errno ${EPERM} ${is(1, SOL_PACKET)}${is(2, option)}`;
}
