/** Attempts to open files and devices of the host by their well-known paths. */
import { FLAGS } from "../adversary/open-flags.ts";
import type { Attempt } from "../attempt.ts";
import { byBoth, openFile } from "./acts.ts";

const HOST = { kind: "host" } as const;
const HOST_SETTINGS = ["EACCES", "EROFS", "EPERM", "ENOENT"] as const;

interface HostPath {
  readonly id: string;
  readonly path: string;
  readonly flags: number;
  readonly means: string;
  readonly group?: Attempt["group"];
  readonly layers?: Attempt["layers"];
}

/** Files that every container sees in some form; opening them for the host's root changes nothing. */
const HOST_PATHS: readonly HostPath[] = [
  {
    id: "core-pattern",
    path: "/proc/sys/kernel/core_pattern",
    flags: FLAGS.writeOnly,
    means: "Have the host start a program of its choice whenever a process crashes (core_pattern).",
  },
  {
    id: "module-helper",
    path: "/proc/sys/kernel/modprobe",
    flags: FLAGS.writeOnly,
    means: "Have the host start a program of its choice when a module is wanted.",
  },
  {
    id: "sysrq",
    path: "/proc/sysrq-trigger",
    flags: FLAGS.writeOnly,
    means: "Crash or reboot the host by its emergency key (sysrq).",
  },
  {
    id: "binary-formats",
    path: "/proc/sys/fs/binfmt_misc/register",
    flags: FLAGS.writeOnly,
    means: "Have the host start a program of its choice for a kind of file.",
  },
  { id: "kernel-memory", path: "/proc/kcore", flags: FLAGS.readOnly, means: "Read the kernel's memory." },
  {
    id: "kernel-messages",
    path: "/proc/kmsg",
    flags: FLAGS.readOnly,
    means: "Take the kernel's messages away from the host's log.",
  },
  {
    id: "overcommit",
    path: "/proc/sys/vm/overcommit_memory",
    flags: FLAGS.writeOnly,
    means: "Change how the host hands out memory.",
  },
  {
    id: "panic-on-oops",
    path: "/proc/sys/kernel/panic",
    flags: FLAGS.writeOnly,
    means: "Change what the host does after a kernel fault.",
  },
  {
    id: "device-events",
    path: "/sys/kernel/uevent_helper",
    flags: FLAGS.writeOnly,
    means: "Have the host start a program of its choice when a device comes.",
  },
  {
    id: "cgroup-release",
    path: "/sys/fs/cgroup/memory/release_agent",
    flags: FLAGS.writeOnly,
    means: "Have the host start a program when a control group empties (release_agent).",
  },
  {
    id: "cgroup-memory",
    path: "/sys/fs/cgroup/memory/memory.limit_in_bytes",
    flags: FLAGS.writeOnly,
    means: "Raise memory limits in the control groups.",
    group: "resources",
  },
  {
    id: "debug-files",
    path: "/sys/kernel/debug/clear_warn_once",
    flags: FLAGS.writeOnly,
    means: "Look into the kernel's debug file system.",
  },
  {
    id: "security-files",
    path: "/sys/kernel/security/lsm",
    flags: FLAGS.readOnly,
    means: "Look into the kernel's security file system.",
  },
  {
    id: "kernel-log-device",
    path: "/dev/kmsg",
    flags: FLAGS.readWrite,
    means: "Read and forge the kernel's log by its device.",
    layers: ["device-list", "idmap"],
  },
  {
    id: "physical-memory",
    path: "/dev/mem",
    flags: FLAGS.readOnly,
    means: "Read physical memory by its device.",
    layers: ["device-list", "idmap"],
  },
  {
    id: "loop-control",
    path: "/dev/loop-control",
    flags: FLAGS.readWrite,
    means: "Make block devices of files (loop).",
    group: "storage",
    layers: ["device-list", "idmap"],
  },
  {
    id: "raw-loop",
    path: "/dev/loop0",
    flags: FLAGS.readOnly,
    means: "Read an instrument's volume by its block device, below every permission.",
    group: "storage",
    layers: ["device-list", "idmap"],
  },
  {
    id: "raw-disk",
    path: "/dev/vda",
    flags: FLAGS.readOnly,
    means: "Read the host's disk by its block device.",
    group: "storage",
    layers: ["device-list", "idmap"],
  },
  {
    id: "virtual-machines",
    path: "/dev/kvm",
    flags: FLAGS.readWrite,
    means: "Use the processor's virtual machine interface.",
    layers: ["device-list", "idmap"],
  },
  {
    id: "device-mapper",
    path: "/dev/mapper/control",
    flags: FLAGS.readWrite,
    means: "Make and remove mapped block devices.",
    group: "storage",
    layers: ["device-list", "idmap"],
  },
];

export const HOST_PATH_ATTEMPTS: readonly Attempt[] = HOST_PATHS.flatMap(
  ({ id, path, flags, means, group = "host", layers = ["idmap"] }) =>
    byBoth({
      id,
      group,
      means,
      expected: HOST_SETTINGS,
      layers,
      control: HOST,
      mayBeAbsent: true,
      witness: { kind: "descriptor", pattern: `^${path}$` },
      run: openFile(path, flags),
    }),
);
