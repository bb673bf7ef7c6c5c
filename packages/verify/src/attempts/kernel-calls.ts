/** Attempts by system calls that open wide parts of the kernel, or look into other processes. */
import type { Attempt } from "../attempt.ts";
import { bytes, byBoth, syscall } from "./acts.ts";

const HOLDS = (name: string) => ({ kind: "descriptor", pattern: `anon_inode:\\[?${name}` }) as const;
const ALONE = { kind: "canary" } as const;
const CALL = (why: string) => ({ kind: "answer", why }) as const;

export const KERNEL_CALLS: readonly Attempt[] = [
  ...byBoth({
    id: "io-uring",
    group: "host",
    means: "Set up an io_uring, a second way to make system calls that filters do not see.",
    expected: ["ENOSYS"],
    layers: ["seccomp-kernel"],
    control: ALONE,
    witness: HOLDS("io_uring"),
    run: syscall("io_uring_setup", () => [1, new Uint8Array(120)], { closes: true }),
  }),
  ...byBoth({
    id: "userfaultfd",
    group: "host",
    means: "Take over page faults (userfaultfd), which widens many kernel races.",
    expected: ["EPERM"],
    layers: ["seccomp-kernel"],
    control: ALONE,
    witness: HOLDS("userfaultfd"),
    // UFFD_USER_MODE_ONLY
    run: syscall("userfaultfd", [1], { closes: true }),
  }),
  ...byBoth({
    id: "fanotify",
    group: "host",
    means: "Watch what other processes open (fanotify).",
    expected: ["EPERM"],
    layers: ["seccomp-kernel"],
    control: ALONE,
    witness: HOLDS("fanotify"),
    // FAN_REPORT_FID, the form that needs no capability
    run: syscall("fanotify_init", [0x200, 0], { closes: true }),
  }),
  ...byBoth({
    id: "personality",
    group: "host",
    means: "Switch off address space randomisation for programs to come.",
    expected: ["EPERM"],
    layers: ["seccomp-kernel"],
    control: ALONE,
    witness: { kind: "execution-domain" },
    run: syscall("personality", [0x0040000], { undo: (machine) => void machine.call("personality", 0) }),
  }),
  ...byBoth({
    id: "add-key",
    group: "host",
    means: "Put a key into the kernel's key store, which containers share.",
    expected: ["EPERM"],
    layers: ["seccomp-keys"],
    control: ALONE,
    witness: { kind: "keys" },
    // KEY_SPEC_PROCESS_KEYRING
    run: syscall("add_key", ["user", "bulkhead-verify", new Uint8Array([1]), 1, -2]),
  }),
  ...byBoth({
    id: "read-keyring",
    group: "host",
    means: "Ask the kernel's key store for a keyring of the session.",
    expected: ["EPERM"],
    layers: ["seccomp-keys"],
    control: ALONE,
    witness: { kind: "keys" },
    // KEYCTL_GET_KEYRING_ID of the thread keyring, made where there is none
    run: syscall("keyctl", [0, -1, 1]),
  }),
  ...byBoth({
    id: "request-key",
    group: "host",
    means: "Have the kernel look for a key, which can start a helper program of the host.",
    expected: ["EPERM"],
    layers: ["seccomp-keys"],
    control: ALONE,
    witness: CALL("a key that is not there is looked for, which leaves no trace; no helper is started"),
    run: syscall("request_key", ["user", "bulkhead-verify-absent", 0, 0], { reached: ["ENOKEY"] }),
  }),
  ...byBoth({
    id: "ptrace",
    group: "host",
    means: "Trace a process (ptrace), the way to read and change it.",
    expected: ["EPERM"],
    layers: ["seccomp-processes"],
    control: ALONE,
    witness: { kind: "status", pattern: "^TracerPid:\\s+[1-9]" },
    // PTRACE_SEIZE of a child of its own
    run: (machine) => {
      const child = machine.child();
      return { answer: machine.call("ptrace", 0x4206, child.pid, 0, 0).errno ?? "done", undo: child.end };
    },
  }),
  ...byBoth({
    id: "read-process-memory",
    group: "host",
    means: "Read another process's memory by selfvm_readv.",
    expected: ["EPERM"],
    layers: ["seccomp-processes"],
    control: ALONE,
    witness: CALL("the kernel keeps no count of what one process read of another"),
    run: syscall("process_vm_readv", () => [process.pid, 0, 0, 0, 0, 0]),
  }),
  ...byBoth({
    id: "steal-descriptor",
    group: "host",
    means: "Take an open file out of another process (pidfd_getfd).",
    expected: ["EPERM"],
    layers: ["seccomp-processes"],
    control: ALONE,
    witness: { kind: "descriptor", pattern: "^/etc/passwd$", besides: 1 },
    run: (machine) => {
      const file = machine.call("openat", -100, "/etc/passwd", 0, 0).value;
      const self = machine.call("pidfd_open", process.pid, 0).value;
      const taken = machine.call("pidfd_getfd", self, file, 0);
      const held = [file, self, ...(taken.errno === null ? [taken.value] : [])];
      return {
        answer: taken.errno ?? "done",
        undo: () => held.forEach((descriptor) => machine.call("close", descriptor)),
      };
    },
  }),
  ...byBoth({
    id: "compare-processes",
    group: "host",
    means: "Learn kernel addresses of other processes' objects by comparing them (kcmp).",
    expected: ["EPERM"],
    layers: ["seccomp-processes"],
    control: ALONE,
    witness: CALL("the kernel keeps no count of comparisons"),
    run: syscall("kcmp", () => [process.pid, process.pid, 1, 0, 0]),
  }),
  ...byBoth({
    id: "vsock",
    group: "network",
    means: "Open a socket to the hypervisor (AF_VSOCK), around every network namespace.",
    expected: ["EAFNOSUPPORT"],
    layers: ["seccomp-sockets"],
    control: ALONE,
    witness: { kind: "descriptor", pattern: "^socket:" },
    mayBeAbsent: true,
    run: syscall("socket", [40, 1, 0], { closes: true }),
  }),
  ...byBoth({
    id: "crypto-socket",
    group: "host",
    means: "Reach the kernel's crypto code by a socket (AF_ALG), the way of several past break-outs.",
    expected: ["EAFNOSUPPORT"],
    layers: ["seccomp-sockets"],
    control: ALONE,
    witness: { kind: "descriptor", pattern: "^socket:" },
    mayBeAbsent: true,
    run: syscall("socket", [38, 5, 0], { closes: true }),
  }),
  ...byBoth({
    id: "bpf-map",
    group: "host",
    means: "Load something into the kernel's BPF machine.",
    expected: ["EPERM"],
    layers: ["seccomp-kernel", "idmap"],
    control: { kind: "host" },
    witness: HOLDS("bpf-map"),
    // BPF_MAP_CREATE of an array of one four-byte value
    run: syscall("bpf", () => [0, bytes(72, [0, 4, 2], [4, 4, 4], [8, 4, 4], [12, 4, 1]), 72], {
      closes: true,
    }),
  }),
  ...byBoth({
    id: "perf-event",
    group: "host",
    means: "Count and sample what the processor does (perf), which leaks what others do.",
    expected: ["EPERM"],
    layers: ["seccomp-kernel", "idmap"],
    control: { kind: "host" },
    witness: HOLDS("perf_event"),
    // A software counter of all processes on the first processor
    run: syscall("perf_event_open", () => [bytes(112, [0, 4, 1], [4, 4, 112]), -1, 0, -1, 0], {
      closes: true,
    }),
  }),
  ...byBoth({
    id: "load-module",
    group: "host",
    means: "Load a module into the host's kernel.",
    expected: ["EPERM", "ENOSYS"],
    layers: ["seccomp-runtime", "idmap"],
    control: { kind: "host" },
    witness: {
      kind: "host-file",
      path: "/proc/modules",
      pattern: "^bulkhead_verify",
      unshown: "the module is empty: the control is let in and loads nothing into the host",
    },
    run: syscall("init_module", () => [new Uint8Array(8), 8, ""], { reached: ["ENOEXEC", "EINVAL"] }),
  }),
  ...byBoth({
    id: "unload-module",
    group: "host",
    means: "Remove a module from the host's kernel.",
    expected: ["EPERM", "ENOSYS"],
    layers: ["seccomp-runtime", "idmap"],
    control: { kind: "host" },
    witness: CALL("the module does not exist, so that the control removes nothing from the host"),
    run: syscall("delete_module", ["bulkhead_verify_absent", 0x800], { reached: ["ENOENT"] }),
  }),
  {
    id: "replace-kernel-root",
    group: "host",
    means: "Load another kernel to boot into (kexec).",
    actor: "root",
    expected: ["EPERM", "ENOSYS"],
    layers: ["seccomp-runtime", "idmap"],
    control: {
      kind: "none",
      why: "a host that lets it in would hold another kernel; many kernels have no kexec",
    },
    witness: { kind: "host-file", path: "/sys/kernel/kexec_loaded", pattern: "^1" },
    run: syscall("kexec_load", [0, 0, 0, 0]),
  },
  ...byBoth({
    id: "kernel-log",
    group: "host",
    means: "Read the kernel's log, with addresses and other tenants' names in it.",
    expected: ["EPERM"],
    layers: ["idmap"],
    control: { kind: "host" },
    witness: CALL("the kernel keeps no count of who read its log"),
    // SYSLOG_ACTION_READ_ALL
    run: syscall("syslog", () => [3, new Uint8Array(64), 64]),
  }),
  ...byBoth({
    id: "set-clock",
    group: "host",
    means: "Set the host's clock, which all containers share.",
    expected: ["EPERM"],
    layers: ["idmap"],
    control: { kind: "host" },
    witness: CALL("no time is given, so that the control leaves the host's clock as it is"),
    run: syscall("settimeofday", [0, 0]),
  }),
  ...byBoth({
    id: "real-time-priority",
    group: "resources",
    means: "Become a real-time process, before which all others wait.",
    expected: ["EPERM"],
    layers: ["idmap"],
    control: { kind: "host" },
    witness: { kind: "scheduling", what: "processor" },
    run: syscall("sched_setscheduler", () => [0, 1, bytes(4, [0, 4, 1])], {
      undo: (machine) => void machine.call("sched_setscheduler", 0, 0, bytes(4)),
    }),
  }),
  ...byBoth({
    id: "real-time-disk",
    group: "resources",
    means: "Put its disk accesses before everybody else's (real-time I/O class).",
    expected: ["EPERM"],
    layers: ["idmap"],
    control: { kind: "host" },
    witness: { kind: "scheduling", what: "disk" },
    run: syscall("ioprio_set", [1, 0, 1 << 13], {
      undo: (machine) => void machine.call("ioprio_set", 1, 0, 0),
    }),
  }),
  {
    id: "host-name",
    group: "host",
    means: "Change the host name that its logs carry.",
    actor: "root",
    expected: ["EPERM"],
    layers: ["capabilities"],
    control: ALONE,
    witness: { kind: "host-name" },
    run: (machine) => {
      const former = machine.readText("/proc/sys/kernel/hostname").trim();
      const name = "bulkhead-verify";
      const { errno } = machine.call("sethostname", name, name.length);
      const undo = () => void machine.call("sethostname", former, former.length);
      return { answer: errno ?? "done", undo };
    },
  },
  {
    id: "port-access-root",
    group: "host",
    means: "Talk to hardware by I/O ports.",
    actor: "root",
    expected: ["EPERM", "ENOSYS"],
    layers: ["seccomp-kernel", "idmap"],
    control: {
      kind: "none",
      why: "processors other than x86 have no such call, and a host lets it in for good",
    },
    witness: CALL("the privilege level is in the thread's registers, which no file of the kernel's shows"),
    run: syscall("iopl", [3]),
  },
];
