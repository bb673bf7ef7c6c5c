/** Attempts to have the platform follow what an instrument put in its way: links, races of links, templates. */
import type { Attempt } from "../attempt.ts";
import { FLAGS } from "../adversary/open-flags.ts";
import type { Machine } from "../adversary/machine.ts";
import { byBoth } from "./acts.ts";

const HOST = { kind: "host" } as const;
const CWD = -100;
const RACES = 400;
const NAMES = ["link", "data", "report.json", "oldest"] as const;

/** What the platform looks at by itself while a link is there: every instrument, read back; see the witness. */
export const LINKS: readonly Attempt[] = [
  ...byBoth({
    id: "hard-link-host-file",
    group: "host",
    means: "Give a file of the host's a second name where it can write (hard link).",
    expected: ["ENOENT", "EACCES"],
    layers: ["mount-namespace", "idmap"],
    control: HOST,
    witness: { kind: "mark" },
    run: (machine, { hostFile, linkDir }) => {
      const name = `${linkDir}/bulkhead-verify-hard`;
      const { errno } = machine.call("linkat", CWD, hostFile, CWD, name, 0);
      return { answer: errno ?? "done", undo: () => void machine.call("unlinkat", CWD, name, 0) };
    },
  }),
  ...byBoth({
    id: "hard-link-platform-file",
    group: "host",
    means: "Give the platform's own program a second name where it can write (hard link).",
    expected: ["EXDEV", "EPERM", "EROFS", "EACCES"],
    layers: ["mount-namespace", "idmap"],
    control: {
      kind: "none",
      why: "a link over two file systems is impossible for anybody; the mark has a control",
    },
    witness: { kind: "descriptor", pattern: "/bulkhead-verify-node-link$" },
    run: (machine, { linkDir }) => {
      const name = `${linkDir}/bulkhead-verify-node-link`;
      const { errno } = machine.call("linkat", CWD, "/opt/node/bin/node", CWD, name, 0);
      if (errno !== null) return { answer: errno };
      const held = machine.open(name, FLAGS.path);
      return {
        answer: "done",
        undo: async () => {
          await held.undo?.();
          machine.call("unlinkat", CWD, name, 0);
        },
      };
    },
  }),
  ...byBoth({
    id: "symbolic-link-race",
    group: "host",
    means:
      "Swap files of its own for links to a file of the host's, over and over, while the platform looks.",
    // It may make links where it may write: what counts is that nobody follows them.
    expected: ["done"],
    layers: ["mount-namespace"],
    control: {
      kind: "none",
      why: "the platform follows no path that an instrument writes; reading the mark has a control",
    },
    witness: { kind: "mark", whilePlatformLooks: true },
    run: (machine, { hostFile, linkDir }) => race(machine, linkDir, hostFile),
  }),
  ...byBoth({
    id: "read-through-link",
    group: "host",
    means: "Read a file of the host's through a link of its own.",
    expected: ["ENOENT", "EACCES"],
    layers: ["mount-namespace", "idmap"],
    control: HOST,
    witness: { kind: "descriptor", pattern: "verify-mark$" },
    run: (machine, { hostFile, linkDir }) => {
      const name = `${linkDir}/bulkhead-verify-through`;
      machine.call("symlinkat", hostFile, CWD, name);
      const read = machine.open(name, FLAGS.readOnly);
      return {
        ...read,
        undo: async () => {
          await read.undo?.();
          machine.call("unlinkat", CWD, name, 0);
        },
      };
    },
  }),
  ...(["templates", "metadata.yaml"] as const).flatMap((name) =>
    byBoth({
      id: `image-${name.replace(".yaml", "")}`,
      group: "host",
      means: `Change what the container runtime writes by the image's ${name} when it starts a container.`,
      expected: ["ENOENT", "EACCES", "EROFS"],
      layers: ["mount-namespace", "idmap"],
      control: {
        kind: "none",
        why: "they lie beside its root file system, where no form of the profile leads; the host's root needs no image",
      },
      witness: { kind: "descriptor", pattern: `^/${name}` },
      run: (machine) => machine.open(`/../${name}`, FLAGS.readOnly),
    }),
  ),
];

function race(machine: Machine, dir: string, target: string) {
  const names = NAMES.map((name) => `${dir}/bulkhead-verify-${name}`);
  const remove = (): void => names.forEach((name) => machine.call("unlinkat", CWD, name, 0));
  // On, while the platform looks: each turn puts a link where a file was.
  let turns = 0;
  const timer = setInterval(() => {
    if (turns >= RACES) return;
    turns += 1;
    remove();
    for (const name of names) {
      if (turns % 2 === 0) machine.call("symlinkat", target, CWD, name);
      else {
        const file = machine.call("openat", CWD, name, 0o101, 0o600);
        if (file.errno === null) machine.call("close", file.value);
      }
    }
  }, 2);
  return {
    answer: "done",
    undo: () => {
      clearInterval(timer);
      remove();
    },
  };
}
