/**
 * Processes of a canary, seen from the host: those in the pid namespace of its first process.
 *
 * Invariants: reads /proc only; a process that ends meanwhile is left out.
 */
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { readFile, readlink } from "node:fs/promises";

/** Null where it is gone or cannot be read. */
export async function readIfThere(path: string): Promise<string | null> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if (isGone(error)) return null;
    throw error;
  }
}

export async function linkIfThere(path: string): Promise<string | null> {
  try {
    return await readlink(path);
  } catch (error) {
    if (isGone(error)) return null;
    throw error;
  }
}

/** Pids in the same pid namespace, children of `below` where they are in the host's. */
export function processesOf(place: { readonly pid: number; readonly host: boolean }): readonly number[] {
  const all = readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number);
  // Hundreds of files that cost nothing each: a promise for every one is what would cost.
  if (place.host) return descendants(place.pid, all);
  const namespace = namespaceOf(place.pid);
  return namespace === null ? [] : all.filter((pid) => namespaceOf(pid) === namespace);
}

function namespaceOf(pid: number): string | null {
  try {
    return readlinkSync(`/proc/${pid}/ns/pid`);
  } catch (error) {
    if (isGone(error)) return null;
    throw error;
  }
}

function descendants(root: number, all: readonly number[]): readonly number[] {
  const parents = new Map<number, number>();
  for (const pid of all) {
    const stat = statOf(pid);
    // The name may hold anything: the fields begin behind its closing bracket.
    const parent = stat === null ? undefined : stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1];
    if (parent !== undefined) parents.set(pid, Number(parent));
  }
  const isBelow = (pid: number): boolean => {
    for (let at: number | undefined = pid; at !== undefined && at > 1; at = parents.get(at))
      if (at === root) return true;
    return false;
  };
  return all.filter(isBelow);
}

function statOf(pid: number): string | null {
  try {
    return readFileSync(`/proc/${pid}/stat`, "utf8");
  } catch (error) {
    if (isGone(error)) return null;
    throw error;
  }
}

/** What a file of a process that has ended says. */
export function isGone(error: unknown): boolean {
  const code: unknown = error instanceof Error && "code" in error ? error.code : undefined;
  return ["ENOENT", "ESRCH", "EINVAL", "EACCES"].includes(String(code));
}
