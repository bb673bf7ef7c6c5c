/**
 * Bench of the vault: writing and reading on an encrypted volume beside plain ext4 and gocryptfs, in turn, so that a
 * disturbance meets all alike; and what a start pays for opening one.
 */
import { readdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { hostCommands } from "../../../packages/warden/src/commands.ts";
import type { BenchOutcome } from "../benches.ts";
import { type Measurement, resultOf, type Result } from "../result.ts";
import { type Lane, type LaneName, openLanes } from "./lanes.ts";

export const VAULT_PARTS = ["write", "read", "files", "reopen"] as const;
export type VaultPart = (typeof VAULT_PARTS)[number];

export interface VaultBenchOptions {
  readonly quick: boolean;
  readonly parts: readonly VaultPart[];
  readonly say: (words: string) => void;
  readonly signal: AbortSignal;
}

const commands = hostCommands();
const FILE_MIB = 64;
const SMALL_FILES = 400;
const SMALL_BYTES = 4096;
const MEGABYTE = 1e6;

/** One figure of one lane; higher is better unless the unit is a time. */
type Work = (dir: string) => Promise<number>;

const WORKS: Readonly<Record<"write" | "read" | "files", { readonly unit: string; readonly work: Work }>> = {
  write: { unit: "MB/s", work: writeFast },
  read: { unit: "MB/s", work: readFast },
  files: { unit: "files/s", work: makeFiles },
};

/** What a CPU without AES instructions in the kernel can do is measured, not wished for. */
const HELD_BACK = "fscrypt on the CPU alone: the kernel has no AES instructions here";

export async function benchVault({ quick, parts, say, signal }: VaultBenchOptions): Promise<BenchOutcome> {
  await using stack = new AsyncDisposableStack();
  const lanes = await openLanes(stack, say);
  const rounds = quick ? 3 : 9;
  const samples = new Map<string, number[]>();
  const note = (id: string, lane: LaneName, value: number): void => {
    const key = `${id} ${lane}`;
    samples.set(key, [...(samples.get(key) ?? []), value]);
  };
  for (let round = 0; round < rounds && !signal.aborted; round += 1) {
    for (const [id, { work }] of Object.entries(WORKS)) {
      if (!parts.some((part) => part === id || (id === "write" && part === "read"))) continue;
      for (const lane of turned(lanes, round)) note(id, lane.name, await work(lane.dir));
    }
    for (const lane of turned(lanes, round)) {
      if (lane.reopen === null || !parts.includes("reopen")) continue;
      const beganMs = performance.now();
      await lane.reopen();
      note("reopen", lane.name, performance.now() - beganMs);
    }
    say(`round ${round + 1} of ${rounds}`);
  }
  const measured = (id: string, unit: string, goals: Measurement["goals"]): Result[] => {
    const own = samples.get(`${id} bulkhead`);
    if (own === undefined || !parts.some((part) => part === id)) return [];
    const others = lanes
      .filter(({ name }) => name !== "bulkhead")
      .flatMap(({ name }) => {
        const each = samples.get(`${id} ${name}`);
        return each === undefined ? [] : [[name, each] as const];
      });
    const beside = Object.fromEntries(others);
    return [
      resultOf({ id: `vault.${id}`, unit, samples: own, beside, ...(goals === undefined ? {} : { goals }) }),
    ];
  };
  const results = [
    ...measured("write", WORKS.write.unit, [
      { on: "ext4", op: ">=", value: 0.1, note: "of plain ext4", heldBack: HELD_BACK },
    ]),
    ...measured("read", WORKS.read.unit, [
      { on: "ext4", op: ">=", value: 0.05, note: "of plain ext4", heldBack: HELD_BACK },
    ]),
    ...measured("files", WORKS.files.unit, [
      {
        on: "gocryptfs",
        op: ">=",
        value: 1,
        note: "as fast as gocryptfs with small files",
        heldBack: HELD_BACK,
      },
    ]),
    ...measured("reopen", "ms", [
      {
        on: "value",
        op: "<=",
        value: 1_000,
        note: "a volume's part of a restart",
        heldBack: "a process for each step: mount, xfs_io, umount",
      },
    ]),
  ];
  return { results, failures: [] };
}

/** Each round begins with another lane. */
function turned(lanes: readonly Lane[], round: number): readonly Lane[] {
  const first = round % lanes.length;
  return [...lanes.slice(first), ...lanes.slice(0, first)];
}

async function timed(argv: readonly string[]): Promise<number> {
  const beganMs = performance.now();
  await commands.run(argv, { timeoutMs: 300_000 });
  return (FILE_MIB * 2 ** 20) / MEGABYTE / ((performance.now() - beganMs) / 1_000);
}

async function writeFast(dir: string): Promise<number> {
  const file = join(dir, "large");
  await rm(file, { force: true });
  return timed(["dd", "if=/dev/zero", `of=${file}`, "bs=1M", `count=${FILE_MIB}`, "conv=fsync"]);
}

/** What `writeFast` left, after its clear pages were dropped: what lies below is in memory, so the cipher is measured. */
async function readFast(dir: string): Promise<number> {
  const file = join(dir, "large");
  await commands.run(["dd", `of=${file}`, "oflag=nocache", "conv=notrunc,fdatasync", "count=0"]);
  return timed(["dd", `if=${file}`, "of=/dev/null", "bs=1M"]);
}

async function makeFiles(dir: string): Promise<number> {
  const small = Buffer.alloc(SMALL_BYTES, 1);
  for (const name of await readdir(dir)) if (name.startsWith("small-")) await rm(join(dir, name));
  const beganMs = performance.now();
  for (let i = 0; i < SMALL_FILES; i += 1) await writeFile(join(dir, `small-${i}`), small);
  await commands.run(["sync", "-f", dir]);
  return SMALL_FILES / ((performance.now() - beganMs) / 1_000);
}
