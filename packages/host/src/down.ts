/**
 * Stops an installation: first the instruments and the datapath, by warden, then the processes. Data stays.
 *
 * Idempotent; a warden that is dead or refuses does not keep the processes alive, and what it left is said. Without
 * warden the runtime is asked whether anything runs: after a `down` nothing does, and another one is no failure.
 */
import type { InstallationLayout } from "@bulkhead/schema";
import * as z from "zod";
import { readTextFile } from "./atomic-file.ts";
import { errorMessage, HostError } from "./error.ts";
import { withHostLock } from "./host-lock.ts";
import { observeInstallations, parseInstallation, readSettings } from "./installations.ts";
import { type Progress, reportStep } from "./progress.ts";
import { allUnitNames } from "./service.ts";
import { askRuntime } from "./runtime-socket.ts";
import { requireRoot } from "./setup.ts";
import { detectSupervisor, openSupervisor } from "./supervision.ts";
import { askVault, vaultProgram } from "./vault-tool.ts";
import { callWarden } from "./warden-call.ts";

export interface DownOptions {
  readonly installation: string;
  readonly signal?: AbortSignal | undefined;
}

export interface DownOutcome {
  /** `left`: warden could not be asked or refused, and instruments may still run. */
  readonly instruments: "stopped" | "left";
  /** Why they were left; empty otherwise. */
  readonly reason: string;
}

/** @throws HostError `host-not-root`, `host-supervisor-failed` */
export async function down(options: DownOptions, progress: Progress): Promise<DownOutcome> {
  requireRoot();
  const layout = parseInstallation(options.installation);
  const known = (await observeInstallations()).some((other) => other.name === layout.name);
  if (!known) return { instruments: "stopped", reason: "" };
  const kind = (await readSettings(layout))?.supervisor ?? (await detectSupervisor());
  const supervisor = openSupervisor(kind);
  const outcome = await reportStep(progress, "instruments", "stopping instruments", async () => {
    const value = await stopInstruments(layout);
    return { value, detail: value.instruments === "stopped" ? "stopped" : value.reason };
  });
  await reportStep(progress, "processes", "stopping the platform's processes", async () => {
    await withHostLock(options.signal, () => supervisor.stop(allUnitNames(layout)));
    return { value: undefined, detail: "stopped" };
  });
  if (outcome.instruments === "stopped") await closeVault(layout, progress);
  return outcome;
}

/** Nothing runs any more that needs a key: none stays in the kernel. */
async function closeVault(layout: InstallationLayout, progress: Progress): Promise<void> {
  if ((await readTextFile(vaultProgram(layout))) === undefined || (await readSettings(layout)) === undefined)
    return;
  await reportStep(progress, "vault", "closing the vault", async () => {
    await askVault(layout, "close");
    return { value: undefined, detail: "closed" };
  });
}

async function stopInstruments(layout: InstallationLayout): Promise<DownOutcome> {
  try {
    const { outcome } = await callWarden(layout.rootSocket, "down");
    if (outcome === "done") return { instruments: "stopped", reason: "" };
    const running = await runningInstances(layout);
    return running.length === 0
      ? { instruments: "stopped", reason: "" }
      : { instruments: "left", reason: `warden does not run, and ${running.join(", ")} do` };
  } catch (error) {
    if (!(error instanceof HostError)) throw error;
    return { instruments: "left", reason: errorMessage(error) };
  }
}

const Instances = z.array(z.object({ name: z.string(), status: z.string() }));

/** None where set-up never came to a runtime. @throws HostError `host-runtime-silent`, `host-runtime-refused` */
async function runningInstances(layout: InstallationLayout): Promise<readonly string[]> {
  const settings = await readSettings(layout);
  if (settings === undefined) return [];
  const path = `/1.0/instances?recursion=1&project=${layout.slug}`;
  const { found, metadata } = await askRuntime(settings.runtime.socket, "GET", path);
  if (!found) return [];
  return Instances.parse(metadata ?? []).flatMap(({ name, status }) => (status === "Stopped" ? [] : [name]));
}
