/** Attempts to leave the container's own view of files, names and ids. */
import type { Attempt } from "../attempt.ts";
import { bytes, byBoth, syscall } from "./acts.ts";

const CANARY = { kind: "canary" } as const;
const BIND = 4096;
const REMOUNT = 32;
const DETACH = 2;
const NO_SUID = 2;
const NO_DEV = 4;
const NO_EXEC = 8;

export const NAMESPACES_AND_MOUNTS: readonly Attempt[] = [
  ...byBoth({
    id: "new-user-namespace",
    group: "host",
    means: "Become root of a user namespace of its own, where a whole kernel interface opens.",
    expected: ["EPERM", "ENOSPC"],
    layers: ["seccomp-namespaces", "user-namespaces"],
    control: CANARY,
    witness: { kind: "namespace", name: "user" },
    run: (machine) =>
      machine.hold([
        "/bin/busybox",
        "unshare",
        "-U",
        "/bin/busybox",
        "sh",
        "-c",
        "echo held; exec /bin/busybox sleep 30",
      ]),
  }),
  {
    id: "new-mount-namespace-root",
    group: "host",
    means: "Make a mount namespace of its own, the first step to another root file system.",
    actor: "root",
    expected: ["EPERM"],
    layers: ["seccomp-namespaces", "capabilities"],
    control: CANARY,
    witness: { kind: "namespace", name: "mnt" },
    run: (machine) =>
      machine.hold([
        "/bin/busybox",
        "unshare",
        "-m",
        "--propagation",
        "unchanged",
        "/bin/busybox",
        "sh",
        "-c",
        "echo held; exec /bin/busybox sleep 30",
      ]),
  },
  {
    id: "new-network-namespace-root",
    group: "network",
    means: "Make a network namespace of its own, in which it would hold every right.",
    actor: "root",
    expected: ["EPERM"],
    layers: ["seccomp-namespaces", "capabilities"],
    control: CANARY,
    witness: { kind: "namespace", name: "net" },
    run: (machine) =>
      machine.hold([
        "/bin/busybox",
        "unshare",
        "-n",
        "/bin/busybox",
        "sh",
        "-c",
        "echo held; exec /bin/busybox sleep 30",
      ]),
  },
  ...byBoth({
    id: "clone3",
    group: "host",
    means: "Make a process by the newer call whose arguments no filter can read (clone3).",
    expected: ["ENOSYS"],
    layers: ["seccomp-namespaces"],
    control: CANARY,
    witness: {
      kind: "answer",
      why: "a copy of the adversary, with all its threads' locks, could not be held: the arguments are empty",
    },
    run: syscall("clone3", [0, 0], { reached: ["EINVAL"] }),
  }),
  ...byBoth({
    id: "enter-namespace",
    group: "host",
    means: "Enter another process's namespaces (setns).",
    expected: ["EPERM"],
    layers: ["seccomp-namespaces"],
    control: CANARY,
    witness: {
      kind: "answer",
      why: "whoever enters a namespace leaves the canary: none is named, so that the control enters nothing",
    },
    run: syscall("setns", [1_000_000, 0], { reached: ["EBADF"] }),
  }),
  {
    id: "mount-root",
    group: "storage",
    means: "Mount a file system.",
    actor: "root",
    expected: ["EPERM"],
    layers: ["seccomp-mounts", "capabilities"],
    control: CANARY,
    witness: { kind: "mount", path: "/tmp" },
    run: syscall("mount", ["none", "/tmp", "tmpfs", 0, "size=64k"], {
      undo: (machine) => void machine.call("umount2", "/tmp", DETACH),
    }),
  },
  {
    id: "bind-mount-root",
    group: "storage",
    means: "Show a directory in another place (bind mount).",
    actor: "root",
    expected: ["EPERM"],
    layers: ["seccomp-mounts", "capabilities"],
    control: CANARY,
    witness: { kind: "mount", path: "/tmp" },
    run: syscall("mount", ["/run", "/tmp", "none", BIND, 0], {
      undo: (machine) => void machine.call("umount2", "/tmp", DETACH),
    }),
  },
  {
    id: "unmount-root",
    group: "storage",
    means: "Unmount what lies over a directory.",
    actor: "root",
    expected: ["EPERM"],
    layers: ["seccomp-mounts", "capabilities"],
    control: CANARY,
    witness: { kind: "mount", path: "/dev/shm", gone: true },
    run: syscall("umount2", ["/dev/shm", DETACH], {
      undo: (machine) =>
        void machine.call("mount", "none", "/dev/shm", "tmpfs", NO_SUID | NO_DEV | NO_EXEC, "size=8m"),
    }),
  },
  {
    id: "remount-tmp-root",
    group: "storage",
    means: "Allow programs to be started from a file system in memory.",
    actor: "root",
    expected: ["EPERM"],
    layers: ["seccomp-mounts", "capabilities"],
    control: CANARY,
    witness: { kind: "mount", path: "/dev/shm", lacks: "noexec" },
    run: syscall("mount", ["none", "/dev/shm", "none", BIND | REMOUNT | NO_SUID | NO_DEV, 0], {
      undo: (machine) =>
        void machine.call(
          "mount",
          "none",
          "/dev/shm",
          "none",
          BIND | REMOUNT | NO_SUID | NO_DEV | NO_EXEC,
          0,
        ),
    }),
  },
  {
    id: "open-mount-root",
    group: "storage",
    means: "Take a mount out of its tree by the newer interface (open_tree).",
    actor: "root",
    expected: ["EPERM"],
    layers: ["seccomp-mounts", "capabilities"],
    control: CANARY,
    witness: { kind: "descriptor", pattern: "^/$" },
    // AT_FDCWD; OPEN_TREE_CLONE
    run: syscall("open_tree", [-100, "/tmp", 1], { closes: true }),
  },
  {
    id: "new-mount-interface-root",
    group: "storage",
    means: "Open a file system by the newer interface (fsopen).",
    actor: "root",
    expected: ["EPERM"],
    layers: ["seccomp-mounts", "capabilities"],
    control: CANARY,
    witness: { kind: "descriptor", pattern: "anon_inode:\\[fscontext\\]" },
    run: syscall("fsopen", ["tmpfs", 0], { closes: true }),
  },
  {
    id: "mount-attributes-root",
    group: "storage",
    means: "Change a mount's flags by the newer interface (mount_setattr).",
    actor: "root",
    expected: ["EPERM"],
    layers: ["seccomp-mounts", "capabilities"],
    control: CANARY,
    witness: { kind: "mount", path: "/tmp", lacks: "rw" },
    // MOUNT_ATTR_RDONLY, set and cleared again (struct mount_attr: attr_set, attr_clr)
    run: syscall("mount_setattr", () => [-100, "/tmp", 0, bytes(32, [0, 8, 1]), 32], {
      undo: (machine) => void machine.call("mount_setattr", -100, "/tmp", 0, bytes(32, [8, 8, 1]), 32),
    }),
  },
  {
    id: "pivot-root",
    group: "host",
    means: "Put another file system in place of the root.",
    actor: "root",
    expected: ["EPERM"],
    layers: ["seccomp-mounts", "capabilities"],
    control: CANARY,
    witness: {
      kind: "answer",
      why: "a canary with another root could not go on: the place given cannot be one",
    },
    run: syscall("pivot_root", ["/tmp", "/run"], { reached: ["EINVAL", "EBUSY"] }),
  },
  {
    id: "chroot",
    group: "host",
    means: "Change the root directory, the classic way out of a directory tree.",
    actor: "root",
    expected: ["EPERM"],
    layers: ["capabilities"],
    control: CANARY,
    witness: { kind: "link", name: "root", pattern: "^/tmp" },
    run: (machine) => {
      const root = machine.call("openat", -100, "/", 0, 0).value;
      const { errno } = machine.call("chroot", "/tmp");
      return {
        answer: errno ?? "done",
        undo: () => {
          if (errno === null) {
            machine.call("fchdir", root);
            machine.call("chroot", ".");
          }
          machine.call("close", root);
        },
      };
    },
  },
  ...byBoth({
    id: "swap-on",
    group: "storage",
    means: "Give the kernel a swap file of its own, through which others' memory would pass.",
    expected: ["EPERM"],
    layers: ["seccomp-mounts", "idmap"],
    control: { kind: "host" },
    witness: {
      kind: "host-file",
      path: "/proc/swaps",
      pattern: "bulkhead-verify",
      unshown: "the file does not exist: the control is let in and swaps nothing on the host",
    },
    run: syscall("swapon", ["/nonexistent/bulkhead-verify", 0], { reached: ["ENOENT"] }),
  }),
  ...byBoth({
    id: "process-accounting",
    group: "host",
    means: "Have the kernel write a record of every process of the host into a file (acct).",
    expected: ["EPERM"],
    layers: ["seccomp-mounts", "idmap"],
    control: { kind: "host" },
    witness: {
      kind: "answer",
      why: "the kernel does not say whether it records; the control is let in and finds no file to record in",
    },
    run: syscall("acct", ["/nonexistent/bulkhead-verify"], { reached: ["ENOENT"] }),
  }),
  ...byBoth({
    id: "file-handle",
    group: "storage",
    means: "Ask for a file's handle, the first half of opening files by number around all paths.",
    expected: ["EPERM"],
    layers: ["seccomp-mounts"],
    control: CANARY,
    witness: { kind: "answer", why: "a handle is a number that is told: the kernel keeps nothing of it" },
    run: syscall("name_to_handle_at", () => [-100, "/tmp", bytes(136, [0, 4, 128]), new Uint8Array(8), 0]),
  }),
  ...byBoth({
    id: "open-by-handle",
    group: "storage",
    means: 'Open a file by number around all paths (the "shocker" break-out).',
    expected: ["EPERM", "ENOSYS"],
    layers: ["seccomp-runtime", "idmap"],
    control: { kind: "host" },
    witness: {
      kind: "answer",
      why: "the number is nobody's: a file of the host that was opened so would be the damage itself",
    },
    run: syscall("open_by_handle_at", () => [-100, bytes(136, [0, 4, 8], [4, 4, 1]), 0], {
      reached: ["ESTALE", "EINVAL"],
    }),
  }),
];
