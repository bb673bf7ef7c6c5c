/**
 * Starts an installation's processes, and tells how they are.
 *
 * Invariants: idempotent; what is gone after a reboot (run-time directory, kernel settings, a daemon that set-up had
 * started) is put back first; a process whose program or definition changed is restarted, others run on.
 */
import { setTimeout as delay } from "node:timers/promises";
import type { InstallationLayout } from "@bulkhead/schema";
import { writeAtomically } from "./atomic-file.ts";
import { HostError } from "./error.ts";
import { withHostLock } from "./host-lock.ts";
import { ensureDirectories, planRunDirectories } from "./installation-files.ts";
import { parseInstallation, readSettings, requireSettings } from "./installations.ts";
import { observeBuilds } from "./programs.ts";
import { type Progress, reportStep } from "./progress.ts";
import { ensureRuntimeDaemon } from "./runtime-daemon.ts";
import {
  planServices,
  PROCESS_NAMES,
  type ProcessName,
  programFile,
  unitName,
  unitNames,
} from "./service.ts";
import { requireRoot } from "./setup.ts";
import { isListening, readGreeting } from "./socket-probe.ts";
import { endProcesses, observeStrays } from "./stray-processes.ts";
import { openSupervisor } from "./supervision.ts";
import type { ProcessState } from "./supervisor.ts";
import { tmpfilesFile } from "./systemd-supervisor.ts";
import { ensureSysctls } from "./sysctls.ts";
import { askVaultState } from "./warden-call.ts";
import { renderTmpfiles } from "./systemd-unit.ts";

export interface UpOptions {
  readonly installation: string;
  /** How long the processes may take until they answer; 60 s by default. */
  readonly readyTimeoutMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface InstallationProcess extends Omit<ProcessState, "unit"> {
  readonly process: ProcessName;
}

/**
 * @returns the processes as they are once all answer
 * @throws HostError `host-not-root`, `host-not-set-up`, `host-runtime-silent`, `host-supervisor-failed`,
 *   `host-supervisor-missing`, `host-not-ready`
 */
export async function up(options: UpOptions, progress: Progress): Promise<readonly InstallationProcess[]> {
  requireRoot();
  const layout = parseInstallation(options.installation);
  const settings = await requireSettings(layout);
  await withHostLock(options.signal, async () => {
    await reportStep(progress, "daemon", `asking ${settings.runtime.kind}`, async () => {
      await ensureDirectories(planRunDirectories(layout, settings));
      if (settings.supervisor === "systemd") {
        await writeAtomically(tmpfilesFile(layout), renderTmpfiles(layout));
      }
      await ensureSysctls();
      const started = await ensureRuntimeDaemon(settings.runtime, settings.supervisor);
      return { value: undefined, detail: started ? "started" : "answers" };
    });
    await reportStep(progress, "processes", "starting warden, sensord and the broker", async () => {
      const services = planServices(layout, await observeBuilds(layout));
      const supervisor = openSupervisor(settings.supervisor);
      await endOrphans(layout, settings.uid, await supervisor.observe(unitNames(layout)));
      const started = await supervisor.start(services);
      const detail = started.length === 0 ? "all run already" : `started ${started.join(", ")}`;
      return { value: undefined, detail };
    });
  });
  return await reportStep(progress, "ready", "waiting until they answer", async () => {
    const { readyTimeoutMs = 60_000, signal } = options;
    const { all, locked } = await waitReady(layout, settings.brokerPort, readyTimeoutMs, signal);
    const detail = locked
      ? "warden and sensord answer; the vault is locked: sudo bulkhead vault unlock"
      : "warden, sensord and the broker answer";
    return { value: all, detail };
  });
}

/** The processes of an installation; all `absent` if it was never set up. */
export async function processes(installation: string): Promise<readonly InstallationProcess[]> {
  const layout = parseInstallation(installation);
  const settings = await readSettings(layout);
  if (settings === undefined) {
    return PROCESS_NAMES.map((process) => ({ process, state: "absent", pid: null, forMs: null }));
  }
  const states = await openSupervisor(settings.supervisor).observe(unitNames(layout));
  return PROCESS_NAMES.map((process, index) => {
    const { state, pid, forMs } = states[index] ?? { state: "absent", pid: null, forMs: null };
    return { process, state, pid, forMs };
  });
}

/** Ends one process and has it started anew. @throws HostError `host-not-set-up`, `host-supervisor-failed` */
export async function restartProcess(installation: string, process: ProcessName): Promise<void> {
  requireRoot();
  const layout = parseInstallation(installation);
  const { supervisor } = await requireSettings(layout);
  await openSupervisor(supervisor).restart(unitName(layout, process));
}

/** Processes whose keeper was killed run on, holding sockets and ports against those that are to come. */
async function endOrphans(
  layout: InstallationLayout,
  uid: number,
  states: readonly ProcessState[],
): Promise<void> {
  const kept = new Set(states.map((state) => state.pid));
  const programs = PROCESS_NAMES.map((process) => programFile(layout, process));
  const orphans = (await observeStrays(layout.optDir, uid)).filter(
    ({ pid, argv }) => !kept.has(pid) && programs.some((program) => argv.includes(program)),
  );
  await endProcesses(orphans.map(({ pid }) => pid));
}

async function waitReady(
  layout: InstallationLayout,
  brokerPort: number,
  timeoutMs: number,
  signal: AbortSignal | undefined,
): Promise<{ readonly all: readonly InstallationProcess[]; readonly locked: boolean }> {
  const deadlineMs = performance.now() + timeoutMs;
  const broker = `the broker's port 127.0.0.1:${brokerPort}`;
  for (;;) {
    const all = await processes(layout.name);
    const waiting = [
      ...all.filter((each) => each.state !== "running").map((each) => each.process),
      ...((await isListening(layout.rootSocket)) ? [] : ["warden's socket"]),
      ...((await isListening(layout.apiSocket)) ? [] : ["sensord's socket"]),
      ...((await readGreeting(brokerPort))?.startsWith("INFO ") ? [] : [broker]),
    ];
    if (waiting.length === 0) return { all, locked: false };
    // The broker waits for the vault, and that for somebody who knows the passphrase.
    const vault =
      waiting.length === 1 && waiting[0] === broker ? await askVaultState(layout.rootSocket) : null;
    if (vault?.state === "locked" && vault.problem !== null) return { all, locked: true };
    if (performance.now() > deadlineMs) {
      throw new HostError("host-not-ready", `after ${timeoutMs} ms not there: ${waiting.join(", ")}`, {
        advice: `see the logs under ${layout.logDir}, or journalctl -u '${layout.slug}-*'`,
      });
    }
    await delay(100, undefined, signal === undefined ? {} : { signal });
  }
}
