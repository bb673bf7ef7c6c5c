/** Attempts to take more of its volume than it was given. */
import { FLAGS } from "../adversary/open-flags.ts";
import type { Attempt } from "../attempt.ts";

const MIB = 1024 * 1024;

export const VOLUMES: readonly Attempt[] = [
  {
    id: "fill-volume",
    group: "storage",
    means: "Write more to its volume than it was given.",
    actor: "user",
    expected: ["ENOSPC"],
    layers: ["volume-size"],
    control: {
      kind: "none",
      why: "a volume is a file of a fixed size: without that there is no volume to write to",
    },
    applies: (spec) => spec.volumes.length > 0,
    // Sixty-four are what a canary is given, whatever its instrument has.
    witness: {
      kind: "file-size",
      path: "/bulkhead-verify-fill",
      above: 64 * MIB,
      unshown: "there is no control: a volume is a file of a fixed size",
    },
    run: async (machine, { volumes: [dir = "/data"] }) => {
      const file = `${dir}/bulkhead-verify-fill`;
      const deed = await machine.runProgram([
        "/bin/busybox",
        "dd",
        "if=/dev/zero",
        `of=${file}`,
        "bs=1M",
        "count=80",
      ]);
      const held = machine.open(file, FLAGS.readOnly);
      return {
        ...deed,
        undo: async () => {
          await held.undo?.();
          machine.call("unlinkat", -100, file, 0);
        },
      };
    },
  },
  {
    id: "volume-inodes",
    group: "storage",
    means: "Fill its volume with empty files, until nobody can make another.",
    actor: "user",
    expected: ["ENOSPC"],
    layers: ["volume-size"],
    control: {
      kind: "none",
      why: "a volume has the files that it was made for: without that there is no volume to write to",
    },
    applies: (spec) => spec.volumes.length > 0,
    witness: {
      kind: "answer",
      why: "names in a volume's own file system are no descriptors; the host's own files are not in it",
    },
    run: (machine, { volumes: [dir = "/data"] }) => {
      const made: string[] = [];
      let errno: string | null = null;
      while (made.length < 40_000 && errno === null) {
        const name = `${dir}/bulkhead-verify-${made.length}`;
        const file = machine.call("openat", -100, name, 0o101, 0o600);
        ({ errno } = file);
        if (errno !== null) break;
        machine.call("close", file.value);
        made.push(name);
      }
      return {
        answer: errno ?? "done",
        detail: `${made.length} files`,
        undo: () => made.forEach((name) => machine.call("unlinkat", -100, name, 0)),
      };
    },
  },
];
