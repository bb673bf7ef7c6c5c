/** Attempts to take more than was given, at the cost of others. */
import type { Attempt } from "../attempt.ts";
import { holdDescriptors, bytes, byBoth } from "./acts.ts";

const CANARY = { kind: "canary" } as const;
const MIB = 1024 * 1024;
const SHELL = ["/bin/busybox", "sh", "-c"] as const;

export const RESOURCES: readonly Attempt[] = [
  {
    id: "fork-bomb",
    group: "resources",
    means: "Start processes without end.",
    actor: "user",
    expected: ["EAGAIN"],
    layers: ["process-limit"],
    control: CANARY,
    witness: { kind: "processes" },
    run: (machine, { processes }) =>
      machine.hold(
        [
          ...SHELL,
          `i=0; while [ $i -lt ${processes + 8} ]; do /bin/busybox sleep 20 & i=$((i+1)); done; echo held; exec /bin/busybox sleep 20`,
        ],
        30_000,
      ),
  },
  {
    id: "memory-hog",
    group: "resources",
    means: "Take more memory than it was given.",
    actor: "user",
    expected: ["killed", "SIGKILL", "ENOMEM", "EFAILED"],
    mayKill: true,
    layers: ["memory-limit"],
    control: CANARY,
    witness: { kind: "memory" },
    // Hosts hand out memory at very different speeds: it is over when one is killed, or when both have got theirs.
    run: (machine, { memoryBytes }) => {
      const dd = `/bin/busybox dd if=/dev/zero of=/dev/null bs=${Math.ceil((memoryBytes * 5) / 8)} count=1000 2>&1 &`;
      const resident = `/bin/busybox awk '/^VmRSS/{kib+=$2} END{print kib}' /proc/$one/status /proc/$two/status`;
      const enoughKiB = Math.ceil((memoryBytes * 9) / 8 / 1024);
      return machine.hold(
        [
          ...SHELL,
          // The first to be killed are those that take it, and not the adversary that has to report.
          `echo 1000 > /proc/self/oom_score_adj; ${dd} one=$!; ${dd} two=$!; while :; do /bin/busybox sleep 1; kill -0 $one && kill -0 $two || exit 1; [ $(${resident}) -gt ${enoughKiB} ] && echo held && exec /bin/busybox sleep 20; done`,
        ],
        40_000,
      );
    },
  },
  {
    id: "processor-hog",
    group: "resources",
    means: "Use more of the processor than it was given.",
    actor: "user",
    // It may spin; what counts is what it gets.
    expected: ["done"],
    layers: ["cpu-limit"],
    control: CANARY,
    applies: (spec) => spec.cpu <= 0.8,
    witness: { kind: "cpu" },
    run: async (machine) => {
      const spin = `while :; do :; done`;
      return await machine.hold([
        ...SHELL,
        `(${spin}) & (${spin}) & /bin/busybox sleep 3; echo held; exec /bin/busybox sleep 20`,
      ]);
    },
  },
  {
    id: "open-files",
    group: "resources",
    means: "Open files without end.",
    actor: "user",
    expected: ["EMFILE"],
    layers: ["open-files-limit"],
    control: CANARY,
    witness: { kind: "descriptor-count", above: 4096 },
    run: holdDescriptors(4500, "openat", -100, "/dev/null", 0, 0),
  },
  {
    id: "inotify",
    group: "resources",
    means: "Take all of the host's file watches, which every container and the host share.",
    actor: "user",
    expected: ["EMFILE"],
    layers: ["inotify-limit"],
    control: CANARY,
    witness: { kind: "descriptor-count", above: 100 },
    run: holdDescriptors(120, "inotify_init1", 0),
  },
  {
    id: "locked-memory",
    group: "resources",
    means: "Lock memory, so that the host cannot take it back.",
    actor: "user",
    expected: ["ENOMEM", "EPERM", "EAGAIN"],
    layers: ["locked-memory-limit"],
    control: CANARY,
    witness: { kind: "status", pattern: "^VmLck:\\s+[1-9]\\d\\d" },
    run: (machine) => {
      const memory = Buffer.alloc(256 * 1024, 1);
      const { errno } = machine.call("mlock", memory, memory.length);
      return { answer: errno ?? "done", undo: () => void machine.call("munlock", memory, memory.length) };
    },
  },
  ...byBoth({
    id: "raise-limit",
    group: "resources",
    means: "Raise a hard limit of its own.",
    expected: ["EPERM"],
    layers: ["idmap"],
    control: { kind: "host" },
    witness: { kind: "limits", pattern: "^Max msgqueue size\\s+\\d+\\s+1638400" },
    run: (machine) => {
      const former = bytes(16);
      // RLIMIT_MSGQUEUE, twice the kernel's default: what it was comes back, and is set again
      const wanted = bytes(16, [0, 8, 1_638_400], [8, 8, 1_638_400]);
      const { errno } = machine.call("prlimit64", 0, 12, wanted, former);
      return { answer: errno ?? "done", undo: () => void machine.call("prlimit64", 0, 12, former, 0) };
    },
  }),
  ...byBoth({
    id: "core-dump",
    group: "resources",
    means: "Have its memory, with whatever secrets, written to the host's disk when it crashes.",
    expected: ["EPERM"],
    layers: ["idmap"],
    control: { kind: "host" },
    witness: { kind: "limits", pattern: "^Max core file size\\s+\\d+\\s+(7777777|unlimited)" },
    run: (machine) => {
      const former = bytes(16);
      const { errno } = machine.call("prlimit64", 0, 4, bytes(16, [0, 8, 1], [8, 8, 7_777_777]), former);
      return { answer: errno ?? "done", undo: () => void machine.call("prlimit64", 0, 4, former, 0) };
    },
  }),
  {
    id: "fill-memory-files",
    group: "resources",
    means: "Fill a file system in memory past its size.",
    actor: "user",
    expected: ["ENOSPC"],
    layers: ["memory-mount-size"],
    control: CANARY,
    witness: { kind: "file-size", path: "/dev/shm/fill", above: 8 * MIB },
    run: async (machine) => {
      const deed = await machine.runProgram([
        "/bin/busybox",
        "dd",
        "if=/dev/zero",
        "of=/dev/shm/fill",
        "bs=1M",
        "count=10",
      ]);
      const file = machine.open("/dev/shm/fill", 0);
      return {
        ...deed,
        undo: async () => {
          await file.undo?.();
          await machine.runProgram(["/bin/busybox", "rm", "-f", "/dev/shm/fill"]);
        },
      };
    },
  },
  {
    id: "log-flood",
    group: "resources",
    means: "Flood the host's logs by its first process's output.",
    actor: "user",
    expected: ["done", "EACCES"],
    layers: [],
    control: {
      kind: "none",
      why: "no form of the profile leads a container's output to a file of the host's",
    },
    witness: {
      kind: "log-growth",
      unshown: "there is no control: no form of the profile has such a file",
    },
    run: (machine) =>
      machine.runProgram([...SHELL, "/bin/busybox dd if=/dev/zero of=/proc/1/fd/1 bs=1M count=32"]),
  },
];
