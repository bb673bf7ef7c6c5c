/**
 * Processes as /proc shows them: who belongs to whom, memory, and time on a core (proc_pid_stat(5), PSS by
 * proc_pid_smaps(5): a page that several share counts for each its part).
 *
 * A process that ends while it is read is left out.
 */
import { readdir, readFile } from "node:fs/promises";

export interface ProcessFacts {
  readonly pid: number;
  readonly parent: number;
  readonly program: string;
  readonly commandLine: string;
  /** Its own and that of its children which have ended. */
  readonly cpuMs: number;
}

/** USER_HZ, the unit of times in /proc: 100 on every architecture that Bulkhead runs on. */
const TICK_MS = 10;

export async function observeProcesses(): Promise<readonly ProcessFacts[]> {
  const pids = (await readdir("/proc")).filter((name) => /^\d+$/.test(name));
  const found = await Promise.all(pids.map((pid) => gone(readProcess(Number(pid)))));
  return found.filter((each) => each !== null);
}

/** The process and all below it. */
export function treeOf(pid: number, all: readonly ProcessFacts[]): readonly ProcessFacts[] {
  const root = all.find((each) => each.pid === pid);
  if (root === undefined) return [];
  return [root, ...all.filter((each) => each.parent === pid).flatMap((child) => treeOf(child.pid, all))];
}

/** Null if the process has ended. */
export async function pssBytes(pid: number): Promise<number | null> {
  const text = await gone(readFile(`/proc/${pid}/smaps_rollup`, "utf8"));
  const kib = /^Pss:\s+(\d+) kB$/m.exec(text ?? "")?.[1];
  return kib === undefined ? null : Number(kib) * 1024;
}

async function readProcess(pid: number): Promise<ProcessFacts> {
  const stat = await readFile(`/proc/${pid}/stat`, "utf8");
  const commandLine = (await readFile(`/proc/${pid}/cmdline`, "utf8")).replaceAll("\0", " ").trim();
  return { pid, commandLine, ...parseStat(stat) };
}

/** The program's name stands in parentheses and may hold any character, parentheses too. */
export function parseStat(stat: string): Pick<ProcessFacts, "parent" | "program" | "cpuMs"> {
  const open = stat.indexOf("(");
  const close = stat.lastIndexOf(")");
  const fields = stat.slice(close + 2).split(" ");
  const ticks = fields.slice(11, 15).reduce((sum, field) => sum + Number(field), 0);
  return { program: stat.slice(open + 1, close), parent: Number(fields[1]), cpuMs: ticks * TICK_MS };
}

async function gone<T>(reading: Promise<T>): Promise<T | null> {
  try {
    return await reading;
  } catch (error) {
    const code = error instanceof Error && "code" in error ? error.code : undefined;
    if (code === "ENOENT" || code === "ESRCH") return null;
    throw error;
  }
}
