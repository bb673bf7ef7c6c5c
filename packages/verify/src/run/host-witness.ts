/**
 * Witnesses in files of the host's: what the platform keeps for the canary, a mark that must stay untouched, logs that
 * must not grow, and secrets that must be nowhere in the canary's processes.
 *
 * Invariants: no path that the canary can write is followed; secrets are compared and never shown.
 */
import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import type { Witness } from "../attempt.ts";
import { isGone, processesOf, readIfThere } from "./processes.ts";
import { memoryHolds } from "./process-memory.ts";
import type { Look, Place } from "./place.ts";

export type HostWitness = Extract<
  Witness,
  { readonly kind: "placed" | "mark" | "log-growth" | "secrets" | "signal" | "host-file" }
>;

/** What the host's side has to look at. */
export interface HostSide {
  /** The canary's sockets' directory, which it sees read-only. */
  readonly socketsDir: string;
  /** A file that nobody may read, link to or change. */
  readonly markFile: string;
  readonly logDirs: readonly string[];
  /** Has the platform look at all that it looks at by itself. */
  readBack(): Promise<void>;
  /** Signals that came to the process whose number the adversary knows. */
  signals(): number;
  /** Pieces of the platform's own secrets. */
  secrets(): Promise<readonly Buffer[]>;
}

/** What runs on without limits is seen at once; what a log holds anyway is far less. */
const LOG_BYTES = 1024 * 1024;
/** As the adversary looks for. */
const LIKE_A_SECRET = /PRIVATE KEY-{5}|password=|token=|Bearer |eyJhbGciOi/;

export async function prepareHostWitness(witness: HostWitness, place: Place, host: HostSide): Promise<Look> {
  switch (witness.kind) {
    case "placed":
      return async () => {
        const names = await readdir(host.socketsDir);
        return names.includes(witness.name) ? `${witness.name} lies in the platform's directory` : null;
      };
    case "mark": {
      const before = await stat(host.markFile);
      return async () => {
        if (witness.whilePlatformLooks === true) await host.readBack();
        const after = await stat(host.markFile);
        if (after.nlink !== before.nlink) return `the mark has ${after.nlink} names, ${before.nlink} before`;
        for (const time of ["mtimeMs", "ctimeMs", "atimeMs"] as const)
          if (after[time] !== before[time]) return `the mark's ${time.replace("Ms", "")} has changed`;
        return null;
      };
    }
    case "log-growth": {
      const before = await bytesIn(host.logDirs);
      return async () => {
        const grown = (await bytesIn(host.logDirs)) - before;
        return grown > LOG_BYTES ? `logs of the host grew by ${grown} bytes` : null;
      };
    }
    case "secrets":
      return async () => secretsIn(place, witness.where, await host.secrets());
    case "signal": {
      const before = host.signals();
      return async () => {
        // It comes to a process of the host by its event loop.
        await new Promise((resolve) => setTimeout(resolve, 50));
        const came = host.signals() - before;
        return came > 0 ? `${came} signals came` : null;
      };
    }
    case "host-file": {
      const wanted = new RegExp(witness.pattern, "m");
      const before = wanted.test((await readIfThere(witness.path)) ?? "");
      return async () => {
        const text = (await readIfThere(witness.path)) ?? "";
        return !before && wanted.test(text) ? `${witness.path} says ${text.slice(0, 60).trim()}` : null;
      };
    }
  }
}

async function bytesIn(dirs: readonly string[]): Promise<number> {
  let total = 0;
  for (const dir of dirs) {
    for (const name of await namesIfThere(dir)) total += (await stat(join(dir, name))).size;
  }
  return total;
}

async function namesIfThere(dir: string): Promise<readonly string[]> {
  try {
    return await readdir(dir);
  } catch (error) {
    if (isGone(error)) return [];
    throw error;
  }
}

async function secretsIn(
  place: Place,
  where: "environment" | "arguments" | "memory",
  secrets: readonly Buffer[],
): Promise<string | null> {
  for (const pid of processesOf(place)) {
    if (where === "memory") {
      if (await memoryHolds(pid, secrets)) return `the memory of process ${pid} holds a secret`;
      continue;
    }
    const file = where === "environment" ? "environ" : "cmdline";
    const bytes = await readFile(`/proc/${pid}/${file}`).catch((error: unknown) => {
      if (isGone(error)) return Buffer.alloc(0);
      throw error;
    });
    if (LIKE_A_SECRET.test(bytes.toString("latin1"))) return `${file} of process ${pid} looks like a secret`;
    if (secrets.some((secret) => bytes.includes(secret))) return `${file} of process ${pid} holds a secret`;
  }
  return null;
}
