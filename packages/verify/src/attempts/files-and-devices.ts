/** Attempts on files and devices of the host, and on what is shown read-only. */
import type { Attempt } from "../attempt.ts";
import { FLAGS } from "../adversary/open-flags.ts";
import { byBoth, bytes, syscall } from "./acts.ts";

const CANARY = { kind: "canary" } as const;
const HOST = { kind: "host" } as const;
const NODE = "/tmp/bulkhead-verify-node";

export const FILES_AND_DEVICES: readonly Attempt[] = [
  {
    id: "root-file",
    group: "storage",
    means: "Write into its own root file system, to stay after a restart.",
    actor: "root",
    expected: ["EROFS"],
    layers: ["read-only-root"],
    control: CANARY,
    witness: { kind: "descriptor", pattern: "^/etc/bulkhead-verify$" },
    run: (machine) => machine.open("/etc/bulkhead-verify", FLAGS.create),
  },
  ...byBoth({
    id: "host-file",
    group: "storage",
    means: "Open a file of the host by its path on the host.",
    expected: ["ENOENT", "EACCES"],
    layers: ["mount-namespace", "idmap"],
    control: HOST,
    witness: { kind: "descriptor", pattern: "verify-mark$" },
    run: (machine, { hostFile }) => machine.open(hostFile, FLAGS.readOnly),
  }),
  ...byBoth({
    id: "signal-host-process",
    group: "host",
    means: "Send a signal to a process of the host by its number there.",
    expected: ["ESRCH", "EPERM"],
    layers: ["pid-namespace", "idmap"],
    control: HOST,
    witness: { kind: "signal" },
    // SIGURG: the host's process counts it, and would not notice it otherwise
    run: (machine, { hostPid }) => ({ answer: machine.call("kill", hostPid, 23).errno ?? "done" }),
  }),
  ...byBoth({
    id: "host-process-files",
    group: "host",
    means: "Look at the host's files through a process of the host (/proc/PID/root).",
    expected: ["ENOENT", "EACCES"],
    layers: ["pid-namespace", "idmap"],
    control: HOST,
    witness: { kind: "descriptor", pattern: "^/etc/passwd$" },
    run: (machine, { hostPid }) => machine.open(`/proc/${hostPid}/root/etc/passwd`, FLAGS.readOnly),
  }),
  ...byBoth({
    id: "make-device",
    group: "host",
    means: "Make a device node of its own, for the host's memory.",
    expected: ["EPERM"],
    layers: ["idmap"],
    control: {
      kind: "none",
      why: "the host's own root may make any: a node that stays would be the damage itself",
    },
    witness: { kind: "descriptor", pattern: "^/tmp/bulkhead-verify-node$" },
    // A character device of /dev/mem's numbers; it is held by its path alone
    run: (machine) => {
      const made = machine.call("mknodat", -100, NODE, 0o020600, (1 << 8) | 1);
      if (made.errno !== null) return { answer: made.errno };
      const held = machine.open(NODE, FLAGS.path);
      return {
        answer: "done",
        undo: async () => {
          await held.undo?.();
          machine.call("unlinkat", -100, NODE, 0);
        },
      };
    },
  }),
  {
    id: "become-root",
    group: "host",
    means: "Become the container's root.",
    actor: "user",
    expected: ["EPERM"],
    layers: ["capabilities"],
    control: {
      kind: "none",
      why: "its user has no capability in any form of the profile: the runtime starts it so",
    },
    witness: { kind: "status", pattern: "^Uid:\\s+\\d+\\s+0\\b" },
    run: syscall("setuid", [0]),
  },
  {
    id: "become-other-root",
    group: "host",
    means: "Become another user of its id range, to reach what only that one may.",
    actor: "root",
    expected: ["EPERM"],
    layers: ["capabilities"],
    control: CANARY,
    witness: { kind: "status", pattern: "^Groups:\\s+\\d" },
    run: (machine) => ({
      answer: machine.call("setgroups", 1, bytes(4, [0, 4, 4242])).errno ?? "done",
      undo: () => void machine.call("setgroups", 0, 0),
    }),
  },
  ...(["lxd", "incus"] as const).flatMap((runtime) =>
    byBoth({
      id: `${runtime}-guest-socket`,
      group: "host",
      means: `Talk to the container runtime by the socket that it offers inside containers (${runtime}).`,
      expected: ["ENOENT"],
      layers: ["guest-api"],
      control:
        runtime === "lxd"
          ? CANARY
          : { kind: "none", why: "only one runtime makes these containers; its own socket has a control" },
      witness: { kind: "descriptor", pattern: "^socket:" },
      run: (machine) => machine.unix(`/dev/${runtime}/sock`),
    }),
  ),
  ...(["/opt/node", "/run/bulkhead", "/inbox"] as const).map((dir): Attempt => ({
    id: `write${dir.replaceAll("/", "-")}`,
    group: "storage",
    means: `Write into ${dir}, which the platform shows it.`,
    actor: "root",
    expected: ["EROFS", "EACCES"],
    layers: ["idmap"],
    control: {
      kind: "none",
      why: "without both the read-only mount and the ids the platform's own directory would be written",
    },
    witness: { kind: "descriptor", pattern: `^${dir}/bulkhead-verify` },
    run: (machine) => machine.open(`${dir}/bulkhead-verify`, FLAGS.create),
  })),
  {
    id: "write-resources",
    group: "storage",
    means: "Write into /resources, where the platform puts what others publish for it.",
    actor: "root",
    expected: ["EROFS", "EACCES"],
    layers: ["idmap"],
    control: {
      kind: "none",
      why: "without both the read-only mount and the ids the platform's own directory would be written",
    },
    witness: { kind: "descriptor", pattern: "^/resources/bulkhead-verify" },
    applies: ({ resources }) => resources,
    run: (machine) => machine.open("/resources/bulkhead-verify", FLAGS.create),
  },
  {
    id: "replace-socket",
    group: "storage",
    means: "Put something else in place of its bus socket, for the platform to follow.",
    actor: "root",
    expected: ["EROFS", "EACCES"],
    layers: ["idmap"],
    control: {
      kind: "none",
      why: "without both the read-only mount and the ids the platform's own directory would be written",
    },
    witness: {
      kind: "placed",
      name: "link",
      unshown: "there is no control in which the platform's own directory could be written",
    },
    run: syscall("symlinkat", ["/etc/shadow", -100, "/run/bulkhead/link"]),
  },
  {
    id: "gain-rights-by-program",
    group: "host",
    means: "Gain rights by starting a program that carries them (setuid).",
    actor: "user",
    expected: ["yes"],
    layers: ["no-new-privileges"],
    control: CANARY,
    witness: { kind: "status", pattern: "^NoNewPrivs:\\s+0" },
    // PR_GET_NO_NEW_PRIVS: 1 means that no program can give a right
    run: (machine) => ({ answer: machine.call("prctl", 39, 0, 0, 0, 0).value === 1 ? "yes" : "done" }),
  },
  {
    id: "execute-from-memory",
    group: "host",
    means: "Start a program that it wrote itself into memory.",
    actor: "user",
    expected: ["EACCES"],
    layers: ["memory-mount-flags"],
    control: CANARY,
    witness: { kind: "link", name: "exe", pattern: "^/tmp/" },
    run: async (machine) => {
      await machine.runProgram(["/bin/busybox", "cp", "/bin/busybox", "/tmp/busybox"]);
      return await machine.hold(["/tmp/busybox", "sh", "-c", "echo held; exec /tmp/busybox sleep 20"]);
    },
  },
];
