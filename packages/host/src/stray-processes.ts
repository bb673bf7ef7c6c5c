/**
 * Processes of an installation that no supervisor holds any more: those that run a program of its /opt directory or
 * as its user.
 *
 * Invariants: never this process or one that it descends from; a pid is ended only if it still is what was seen.
 */
import { readdir, readFile, readlink } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";
import { systemErrorCode } from "./error.ts";
import { isUnder } from "./ownership.ts";

export interface StrayProcess {
  readonly pid: number;
  readonly program: string;
  readonly argv: readonly string[];
}

/** `uid`: the installation's user; null if there is none. */
export async function observeStrays(optDir: string, uid: number | null): Promise<readonly StrayProcess[]> {
  const spared = await ancestors();
  const strays: StrayProcess[] = [];
  for (const entry of await readdir("/proc")) {
    if (!/^\d+$/.test(entry) || spared.has(Number(entry))) continue;
    const program = await orGone(() => readlink(`/proc/${entry}/exe`));
    const status = await orGone(() => readFile(`/proc/${entry}/status`, "utf8"));
    if (status === undefined) continue;
    const [, real] = /^Uid:\t(\d+)/m.exec(status) ?? [];
    const own = isUnder(optDir, program?.replace(/ \(deleted\)$/, "") ?? "");
    if (own || (uid !== null && Number(real) === uid)) {
      const cmdline = (await orGone(() => readFile(`/proc/${entry}/cmdline`, "utf8"))) ?? "";
      strays.push({ pid: Number(entry), program: program ?? "unknown", argv: cmdline.split("\0") });
    }
  }
  return strays;
}

/** SIGTERM, and SIGKILL for what is there three seconds later. @returns when all are gone */
export async function endProcesses(pids: readonly number[]): Promise<void> {
  const spared = await ancestors();
  let left = pids.filter((pid) => pid > 1 && !spared.has(pid));
  const startMs = performance.now();
  left = left.filter((pid) => signal(pid, "SIGTERM"));
  let killed = false;
  while (left.length > 0) {
    await delay(50);
    if (!killed && performance.now() - startMs > 3000) {
      for (const pid of left) signal(pid, "SIGKILL");
      killed = true;
    }
    const alive = await Promise.all(left.map(isAlive));
    left = left.filter((_, index) => alive[index]);
    if (performance.now() - startMs > 10_000) return;
  }
}

/** False if it is gone already. */
function signal(pid: number, name: NodeJS.Signals): boolean {
  try {
    process.kill(pid, name);
    return true;
  } catch (error) {
    if (systemErrorCode(error) === "ESRCH") return false;
    throw error;
  }
}

/** A zombie holds nothing; its parent may take its time. */
async function isAlive(pid: number): Promise<boolean> {
  const stat = await orGone(() => readFile(`/proc/${pid}/stat`, "utf8"));
  return stat !== undefined && !/\) Z /.test(stat);
}

async function ancestors(): Promise<ReadonlySet<number>> {
  const pids = new Set<number>();
  let pid = process.pid;
  while (pid > 0 && !pids.has(pid)) {
    pids.add(pid);
    const current = pid;
    const stat = await orGone(() => readFile(`/proc/${current}/stat`, "utf8"));
    // The name in parentheses may hold anything; the parent is the second field after it.
    pid = Number(stat?.slice(stat.lastIndexOf(")") + 2).split(" ")[1] ?? 0);
  }
  return pids;
}

async function orGone<T>(read: () => Promise<T>): Promise<T | undefined> {
  try {
    return await read();
  } catch (error) {
    const code = systemErrorCode(error);
    if (code === "ENOENT" || code === "ESRCH" || code === "EACCES") return undefined;
    throw error;
  }
}
