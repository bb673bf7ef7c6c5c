/**
 * Witnesses in what the kernel tells the host's root of a canary's processes, beyond their files: networks, scheduling,
 * keys, names. Each is looked at before the attempt and while it is held.
 *
 * Invariants: programs are run with fixed words and numbers alone; nothing of the canary's is parsed by a shell.
 */
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import type { Witness } from "../attempt.ts";
import { processesOf, readIfThere } from "./processes.ts";
import type { Look, Place } from "./place.ts";

export type KernelWitness = Extract<
  Witness,
  { readonly kind: "network" | "scheduling" | "execution-domain" | "keys" | "host-name" }
>;

/** What is looked at inside of the network namespace. */
const NETWORK_COMMANDS = {
  links: ["ip", "-o", "-d", "link"],
  addresses: ["ip", "-o", "addr"],
  tables: ["nft", "list", "tables"],
  sockets: ["ss", "-0", "-u", "-a", "-b", "-e", "-n"],
  conntrack: ["cat", "/proc/sys/net/netfilter/nf_conntrack_count"],
} as const;
const SCHEDULING_POLICY_FIELD = 38;

export async function prepareKernelWitness(witness: KernelWitness, place: Place): Promise<Look> {
  switch (witness.kind) {
    case "network": {
      const wanted = new RegExp(witness.pattern);
      const lines = async (): Promise<readonly string[]> => {
        const all = (await inside(place, "net", NETWORK_COMMANDS[witness.what])).split("\n");
        return all.filter((line) => wanted.test(line));
      };
      const before = await lines();
      return async () => {
        const after = await lines();
        if (after.join("\n") === before.join("\n")) return null;
        const fresh = after.find((line) => !before.includes(line));
        return fresh === undefined ? `gone: ${words(before[0] ?? "")}` : `now: ${words(fresh)}`;
      };
    }
    case "scheduling":
      return async () => {
        for (const pid of processesOf(place)) {
          const seen = witness.what === "processor" ? await realTime(pid) : await realTimeDisk(pid);
          if (seen !== null) return `process ${pid} is ${seen}`;
        }
        return null;
      };
    case "execution-domain":
      return async () => {
        for (const pid of processesOf(place)) {
          const flags = (await readIfThere(`/proc/${pid}/personality`))?.trim() ?? "0";
          if (Number.parseInt(flags, 16) !== 0) return `process ${pid} has the execution domain ${flags}`;
        }
        return null;
      };
    case "keys": {
      const before = await keysOf(place);
      return async () => {
        const after = await keysOf(place);
        return after > before ? `${after - before} more keys of its ids in /proc/key-users` : null;
      };
    }
    case "host-name": {
      const before = await inside(place, "uts", ["uname", "-n"]);
      return async () => {
        const after = await inside(place, "uts", ["uname", "-n"]);
        return after === before ? null : `its host name is ${words(after)}`;
      };
    }
  }
}

async function inside(place: Place, namespace: "net" | "uts", argv: readonly string[]): Promise<string> {
  const enter = [`--${namespace}=/proc/${place.pid}/ns/${namespace}`, "--", ...argv];
  const { stdout } = await promisify(execFile)("nsenter", enter, { timeout: 20_000 });
  return stdout;
}

/** Field 41 of proc(5), stat: 0 is SCHED_OTHER; 1 and 2 are real-time policies. */
async function realTime(pid: number): Promise<string | null> {
  const stat = (await readIfThere(`/proc/${pid}/stat`)) ?? "";
  const policy = Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[SCHEDULING_POLICY_FIELD] ?? 0);
  return policy === 1 || policy === 2 ? `real-time (policy ${policy})` : null;
}

/** ionice(1): "realtime: prio N". */
async function realTimeDisk(pid: number): Promise<string | null> {
  try {
    const { stdout } = await promisify(execFile)("ionice", ["-p", String(pid)]);
    return stdout.startsWith("realtime") ? `of the class ${stdout.trim()}` : null;
  } catch (error) {
    if ((await readIfThere(`/proc/${pid}/stat`)) === null) return null; // it ended meanwhile
    throw error;
  }
}

/** Keys that ids of the place hold: of the canary's range, or of the host's root (proc(5), key-users). */
async function keysOf(place: Place): Promise<number> {
  const [first, last] = place.host ? [0, 0] : [place.idmapBase, place.idmapBase + 65_535];
  let keys = 0;
  for (const line of ((await readIfThere("/proc/key-users")) ?? "").split("\n")) {
    const found = /^\s*(\d+):\s+\d+\s+(\d+)\//.exec(line);
    if (found !== null && Number(found[1]) >= first && Number(found[1]) <= last) keys += Number(found[2]);
  }
  return keys;
}

function words(line: string): string {
  return line.trim().replaceAll(/\s+/g, " ").slice(0, 160);
}
