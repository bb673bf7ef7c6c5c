/**
 * Cost scenario: memory and time on a core of an idle sensor, the platform's and each instrument's beyond its tool.
 *
 * An instrument's processes are told apart: `shell` is what every instrument has (the runtime's monitor and the
 * container's init), `agent` is ours, the rest is the tool. What the runtime's daemon does is not counted: it is
 * shared by all that runs on the host.
 */
import { processes } from "@bulkhead/host";
import { setTimeout as sleep } from "node:timers/promises";
import { type Result, resultOf } from "../result.ts";
import { AGENT_GOAL, CPU_GOAL, PLATFORM_GOAL, SHELL_GOAL } from "./cost-goals.ts";
import type { Run } from "./effort.ts";
import { type Installation, INSTALLATION } from "./installation.ts";
import { observeProcesses, type ProcessFacts, pssBytes, treeOf } from "./proc.ts";

/** Long enough that a few ticks of 10 ms say something. */
const WINDOW_MS = 4_000;
const PLATFORM = "platform";

/** One thing that is accounted: a name and its processes. */
interface Account {
  readonly name: string;
  readonly pids: readonly number[];
}
type Samples = ReadonlyMap<string, { readonly megabytes: number[]; readonly percent: number[] }>;

export async function measureCost(
  run: Run,
  { layout }: Installation,
  instruments: readonly string[],
): Promise<readonly Result[]> {
  const samples: Samples = new Map(
    (await observeAccounts(layout.slug, instruments)).map(({ name }) => [
      name,
      { megabytes: [], percent: [] },
    ]),
  );
  const windows = Math.max(2, Math.round((run.effort.idleSeconds * 1_000) / WINDOW_MS));
  for (let window = 0; window < windows; window += 1) {
    run.signal.throwIfAborted();
    const accounts = await observeAccounts(layout.slug, instruments);
    const before = await cpuOf(accounts);
    const beganMs = performance.now();
    await sleep(WINDOW_MS, undefined, { signal: run.signal });
    const after = await cpuOf(accounts);
    const tookMs = performance.now() - beganMs;
    for (const { name, pids } of accounts) {
      const usedMs = (after.get(name) ?? 0) - (before.get(name) ?? 0);
      samples.get(name)?.percent.push((100 * usedMs) / tookMs);
      samples.get(name)?.megabytes.push(await megabytesOf(pids));
    }
    run.say(`idle, ${Math.round(((window + 1) * WINDOW_MS) / 1_000)} s`);
  }
  return Array.from(samples, ([name, each]) => resultsOf(name, each)).flat();
}

/** The platform as a whole and each of its processes; each instrument beyond its tool, and its shell alone. */
async function observeAccounts(slug: string, instruments: readonly string[]): Promise<readonly Account[]> {
  const all = await observeProcesses();
  const platform = (await processes(INSTALLATION)).map(({ process, pid }) => {
    return { name: `${PLATFORM}.${process}`, pids: pid === null ? [] : pidsOf(treeOf(pid, all)) };
  });
  const perInstrument = instruments.flatMap((instrument) => {
    const monitor = findMonitor(all, `${slug}_${instrument}`);
    const tree = monitor === undefined ? [] : treeOf(monitor.pid, all);
    const shell = tree.filter(
      (each) => each === monitor || isMonitorOf(each, slug, instrument) || each.program === "tini",
    );
    const agent = tree.filter((each) => each.commandLine.includes("/opt/instrument/agent.cjs"));
    return [
      { name: `instrument.${instrument}`, pids: pidsOf([...shell, ...agent]) },
      { name: `instrument.${instrument}.shell`, pids: pidsOf(shell) },
    ];
  });
  const missing = [...platform, ...perInstrument].filter(({ pids }) => pids.length === 0);
  if (missing.length > 0) throw new Error(`no processes of ${missing.map(({ name }) => name).join(", ")}`);
  return [{ name: PLATFORM, pids: platform.flatMap(({ pids }) => pids) }, ...platform, ...perInstrument];
}

/** liblxc names its monitor `[lxc monitor] DIRECTORY PROJECT_INSTANCE`. */
function findMonitor(all: readonly ProcessFacts[], instance: string): ProcessFacts | undefined {
  const found = all.filter((each) => isMonitor(each, instance));
  return found.find((each) => !found.some((other) => other.pid === each.parent));
}

function isMonitorOf(facts: ProcessFacts, slug: string, instrument: string): boolean {
  return isMonitor(facts, `${slug}_${instrument}`);
}

function isMonitor({ commandLine }: ProcessFacts, instance: string): boolean {
  return commandLine.startsWith("[lxc monitor]") && commandLine.endsWith(` ${instance}`);
}

function pidsOf(facts: readonly ProcessFacts[]): readonly number[] {
  return facts.map(({ pid }) => pid);
}

async function cpuOf(accounts: readonly Account[]): Promise<ReadonlyMap<string, number>> {
  const byPid = new Map((await observeProcesses()).map((each) => [each.pid, each.cpuMs]));
  return new Map(
    accounts.map(({ name, pids }) => [name, pids.reduce((sum, pid) => sum + (byPid.get(pid) ?? 0), 0)]),
  );
}

async function megabytesOf(pids: readonly number[]): Promise<number> {
  const sizes = await Promise.all(pids.map(pssBytes));
  return sizes.reduce<number>((sum, size) => sum + (size ?? 0), 0) / 1e6;
}

function resultsOf(
  name: string,
  { megabytes, percent }: { readonly megabytes: readonly number[]; readonly percent: readonly number[] },
): readonly Result[] {
  const isShell = name.endsWith(".shell");
  const isPart = name.startsWith(`${PLATFORM}.`);
  const memoryGoals = isPart ? [] : [name === PLATFORM ? PLATFORM_GOAL : isShell ? SHELL_GOAL : AGENT_GOAL];
  const memory = { id: `cost.${name}.memory`, unit: "MB", samples: megabytes, goals: memoryGoals };
  if (isShell) return [resultOf(memory)];
  const cpu = {
    id: `cost.${name}.cpu`,
    unit: "% of a core",
    samples: percent,
    goals: isPart ? [] : [CPU_GOAL],
  };
  // A mean: what is done every few seconds would vanish from a median.
  const mean = percent.reduce((sum, each) => sum + each, 0) / percent.length;
  return [resultOf(memory), resultOf({ ...cpu, value: mean })];
}
