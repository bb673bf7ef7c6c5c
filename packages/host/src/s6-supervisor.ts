/**
 * Supervision by s6, where there is no systemd: one service directory a process under the host's one s6-svscan.
 *
 * Invariants: what is killed comes back after at most a second or so; a definition that did not change is left
 * running. Logs go through s6-log into the installation's log directory, which must exist.
 */
import { HOST_LAYOUT } from "@bulkhead/schema";
import { askCommand, runCommand } from "./command.ts";
import { HostError } from "./error.ts";
import { type S6Scan, s6Scan, supervised } from "./s6-scan.ts";
import { renderServiceDirectory } from "./s6-service.ts";
import type { ProcessState, ServiceDefinition, Supervisor } from "./supervisor.ts";

/** `servicesDir` is HOST_LAYOUT.servicesDir; a test gives a directory of its own. */
export function s6Supervisor(servicesDir: string): Supervisor {
  const scan = s6Scan(servicesDir);
  return {
    kind: "s6",
    start: (services) => start(scan, services),
    stop: async (units) => {
      await Promise.all(units.map((unit) => stop(scan, unit)));
    },
    remove: async (units) => {
      const removed: string[] = [];
      for (const unit of units) if (await scan.take(unit)) removed.push(unit);
      return removed;
    },
    restart: async (unit) => {
      if (!(await supervised(scan.path(unit)))) {
        throw new HostError("host-supervisor-failed", `${unit} is not supervised`, {
          advice: "run `bulkhead up`",
        });
      }
      await runCommand("s6-svc", ["-wR", "-T", "20000", "-ru", scan.path(unit)]);
    },
    observe: (units) => Promise.all(units.map((unit) => observe(scan, unit))),
  };
}

/** Ends the host's scanner if no service is left in it. @returns words for a person about what was removed */
export async function endScan(): Promise<readonly string[]> {
  return (await s6Scan(HOST_LAYOUT.servicesDir).end()) ? ["s6-svscan"] : [];
}

async function start(scan: S6Scan, services: readonly ServiceDefinition[]): Promise<readonly string[]> {
  await scan.ensure();
  const started: string[] = [];
  for (const service of services) {
    const changed = await scan.put(service.unit, renderServiceDirectory(service));
    const { state } = await observe(scan, service.unit);
    if (changed || state === "stopped") {
      await runCommand("s6-svc", ["-u", scan.path(service.unit)]);
      started.push(service.unit);
    }
  }
  return started;
}

async function stop(scan: S6Scan, unit: string): Promise<void> {
  if (!(await scan.units()).includes(unit) || !(await supervised(scan.path(unit)))) return;
  await runCommand("s6-svc", ["-wD", "-T", "30000", "-d", scan.path(unit)], { timeoutMs: 40_000 });
}

async function observe(scan: S6Scan, unit: string): Promise<ProcessState> {
  if (!(await scan.units()).includes(unit)) return { unit, state: "absent", pid: null, forMs: null };
  const { exitCode, stdout } = await askCommand("s6-svstat", [
    "-o",
    "up,wantedup,pid,updownfor",
    scan.path(unit),
  ]);
  if (exitCode !== 0) return { unit, state: "absent", pid: null, forMs: null };
  return parseServiceState(unit, stdout);
}

/** Reads the four fields of `s6-svstat -o up,wantedup,pid,updownfor`. */
export function parseServiceState(unit: string, text: string): ProcessState {
  const [up, wantedUp, pid, forSeconds] = text.trim().split(/\s+/);
  const forMs = Number(forSeconds) * 1000;
  if (up === "true") return { unit, state: "running", pid: Number(pid), forMs };
  return { unit, state: wantedUp === "true" ? "starting" : "stopped", pid: null, forMs };
}
