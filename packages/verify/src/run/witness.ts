/**
 * Witnesses: what the host sees while an adversary holds what it got.
 *
 * Invariants: nothing is taken from inside the canary but what the kernel says of its processes; `look` says in words
 * what was seen, or null where nothing was. That it could have seen something is what controls show.
 */
import { readdir, stat } from "node:fs/promises";
import type { Witness } from "../attempt.ts";
import { type HostSide, prepareHostWitness } from "./host-witness.ts";
import { prepareKernelWitness } from "./kernel-witness.ts";
import type { Look, Place } from "./place.ts";
import { isGone, linkIfThere, processesOf, readIfThere } from "./processes.ts";

/** Ask before the attempt; the answer is asked while it is held. */
export async function prepareWitness(
  witness: Witness,
  place: Place,
  counters: WitnessCounters,
): Promise<Look> {
  switch (witness.kind) {
    case "descriptor": {
      const pattern = new RegExp(witness.pattern);
      const before = await countLinks(place, pattern);
      return async () => {
        const after = await countLinks(place, pattern);
        return after > before + (witness.besides ?? 0)
          ? `${after - before} descriptors of ${witness.pattern}`
          : null;
      };
    }
    case "descriptor-count":
      return async () => {
        const counts = await Promise.all(processesOf(place).map(countDescriptors));
        const most = Math.max(0, ...counts);
        return most > witness.above ? `${most} open files in one process` : null;
      };
    case "mount": {
      const before = await mountLines(place, witness);
      return async () => {
        const after = await mountLines(place, witness);
        if (witness.gone === true) return after < before ? `no more mounted at ${witness.path}` : null;
        return after > before ? `mounted at ${witness.path} (${after} lines, ${before} before)` : null;
      };
    }
    case "namespace": {
      const own = await linkIfThere(`/proc/${place.host ? "self" : place.pid}/ns/${witness.name}`);
      return async () => {
        for (const pid of processesOf(place)) {
          const found = await linkIfThere(`/proc/${pid}/ns/${witness.name}`);
          if (found !== null && found !== own)
            return `process ${pid} is in ${found}, not ${own ?? "nowhere"}`;
        }
        return null;
      };
    }
    case "file-size":
      return async () => {
        for (const pid of processesOf(place)) {
          for (const name of await namesIn(`/proc/${pid}/fd`)) {
            const link = await linkIfThere(`/proc/${pid}/fd/${name}`);
            if (link?.endsWith(witness.path) !== true) continue;
            const size = await sizeOf(`/proc/${pid}/fd/${name}`);
            if (size > witness.above) return `${size} bytes in ${witness.path}, ${witness.above} allowed`;
          }
        }
        return null;
      };
    case "status":
      return () => lineOf(place, "status", witness.pattern);
    case "limits":
      return () => lineOf(place, "limits", witness.pattern);
    case "link": {
      const pattern = new RegExp(witness.pattern);
      return async () => {
        for (const pid of processesOf(place)) {
          const found = await linkIfThere(`/proc/${pid}/${witness.name}`);
          if (found !== null && pattern.test(found)) return `${witness.name} of process ${pid} is ${found}`;
        }
        return null;
      };
    }
    case "device":
      return async () => {
        const text = (await readIfThere(`/proc/${place.pid}/net/dev`)) ?? "";
        return text.includes(`${witness.name}:`) ? `the device ${witness.name} is there` : null;
      };
    case "socket-table":
      return async () => {
        const tables = witness.table === "raw" ? ["raw", "raw6", "icmp"] : ["packet"];
        for (const table of tables) {
          const lines = ((await readIfThere(`/proc/${place.pid}/net/${table}`)) ?? "").trim().split("\n");
          if (lines.length > 1) return `${lines.length - 1} sockets in /proc/net/${table}`;
        }
        return null;
      };
    case "processes":
      return async () => {
        const count = processesOf(place).length;
        return count > place.processes ? `${count} processes, ${place.processes} allowed` : null;
      };
    case "memory":
      return async () => {
        const resident = await Promise.all(processesOf(place).map(residentBytes));
        const total = resident.reduce((sum, bytes) => sum + bytes, 0);
        return total > place.memoryBytes ? `${total} bytes in memory, ${place.memoryBytes} allowed` : null;
      };
    case "cpu": {
      const before = { ticks: await cpuTicks(place), ms: performance.now() };
      return async () => {
        const share =
          ((await cpuTicks(place)) - before.ticks) / 100 / ((performance.now() - before.ms) / 1000);
        // The kernel hands out whole slices: a fifth above the allowance is still within it.
        return share > place.cpu * 1.2 + 0.05
          ? `${share.toFixed(2)} processors used, ${place.cpu} allowed`
          : null;
      };
    }
    case "placed":
    case "mark":
    case "log-growth":
    case "secrets":
    case "signal":
    case "host-file":
      return prepareHostWitness(witness, place, counters.host);
    case "network":
    case "scheduling":
    case "execution-domain":
    case "keys":
    case "host-name":
      return prepareKernelWitness(witness, place);
    case "decoy":
    case "bus": {
      const name = witness.kind === "decoy" ? witness.name : witness.subject;
      const above = witness.kind === "bus" ? (witness.above ?? 0) : 0;
      const before = await counters.count(witness.kind, name);
      return async () => {
        const after = await counters.count(witness.kind, name);
        return after > before + above ? `${name} took ${after - before}` : null;
      };
    }
    case "frames": {
      const before = await counters.frames();
      return async () => {
        const after = await counters.frames();
        return after > before ? `${after - before} frames at the far end` : null;
      };
    }
    case "answer":
      return async () => null;
  }
}

/** What is counted outside of the canary's processes. */
export interface WitnessCounters {
  /** Connections, datagrams or messages that a stand-in took so far. */
  count(kind: "decoy" | "bus", name: string): Promise<number>;
  /** Frames that arrived at the far end of the stand-in's span, or lies at that of its port. */
  frames(): Promise<number>;
  readonly host: HostSide;
}

async function countLinks(place: Place, pattern: RegExp): Promise<number> {
  let found = 0;
  for (const pid of processesOf(place)) {
    for (const name of await namesIn(`/proc/${pid}/fd`)) {
      const link = await linkIfThere(`/proc/${pid}/fd/${name}`);
      if (link !== null && pattern.test(link)) found += 1;
    }
  }
  return found;
}

async function countDescriptors(pid: number): Promise<number> {
  return (await namesIn(`/proc/${pid}/fd`)).length;
}

async function namesIn(dir: string): Promise<readonly string[]> {
  try {
    return await readdir(dir);
  } catch (error) {
    if (isGone(error)) return []; // it ended
    throw error;
  }
}

async function sizeOf(file: string): Promise<number> {
  try {
    return (await stat(file)).size;
  } catch (error) {
    if (isGone(error)) return 0; // it was closed
    throw error;
  }
}

async function mountLines(
  place: Place,
  { path, lacks }: Extract<Witness, { kind: "mount" }>,
): Promise<number> {
  let found = 0;
  for (const pid of processesOf(place)) {
    const lines = ((await readIfThere(`/proc/${pid}/mountinfo`)) ?? "").split("\n");
    found += lines.filter((line) => {
      const [, , , , at, options] = line.split(" ");
      return at === path && (lacks === undefined || options?.split(",").includes(lacks) === false);
    }).length;
  }
  return found;
}

async function lineOf(place: Place, file: "status" | "limits", pattern: string): Promise<string | null> {
  const wanted = new RegExp(pattern);
  for (const pid of processesOf(place)) {
    const line = ((await readIfThere(`/proc/${pid}/${file}`)) ?? "")
      .split("\n")
      .find((text) => wanted.test(text));
    if (line !== undefined) return `process ${pid}: ${line.replaceAll(/\s+/g, " ")}`;
  }
  return null;
}

async function residentBytes(pid: number): Promise<number> {
  const kib = /^RssAnon:\s+(\d+) kB/m.exec((await readIfThere(`/proc/${pid}/status`)) ?? "")?.[1];
  return Number(kib ?? 0) * 1024;
}

/** User and system time in hundredths of a second (proc(5), stat, fields 14 to 17). */
async function cpuTicks(place: Place): Promise<number> {
  let ticks = 0;
  for (const pid of processesOf(place)) {
    const stat = (await readIfThere(`/proc/${pid}/stat`)) ?? "";
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    ticks += Number(fields[11] ?? 0) + Number(fields[12] ?? 0);
  }
  return ticks;
}
