/**
 * Supervision by systemd: one unit a process in /etc/systemd/system, enabled and started.
 *
 * Invariants: only units of the given names are written, started, stopped or removed; a unit that did not change is
 * not restarted. Starting does not wait for a process that itself waits for a file.
 */
import { rm } from "node:fs/promises";
import { uptime } from "node:os";
import type { InstallationLayout } from "@bulkhead/schema";
import { writeAtomically } from "./atomic-file.ts";
import { askCommand, runCommand } from "./command.ts";
import { errorMessage, HostError, systemErrorCode } from "./error.ts";
import type { ProcessState, ServiceDefinition, Supervisor } from "./supervisor.ts";
import { renderUnit } from "./systemd-unit.ts";

const unitDir = "/etc/systemd/system";

export function systemdSupervisor(): Supervisor {
  return { kind: "systemd", start, stop, remove, restart, observe };
}

/** The unit file of a process. */
export function unitFile(unit: string): string {
  return `${unitDir}/${unit}.service`;
}

/** Has systemd make the run-time directory at boot. */
export function tmpfilesFile(layout: InstallationLayout): string {
  return `/etc/tmpfiles.d/${layout.slug}.conf`;
}

async function start(services: readonly ServiceDefinition[]): Promise<readonly string[]> {
  const changed = new Set<string>();
  for (const service of services) {
    if (await writeAtomically(unitFile(service.unit), renderUnit(service))) {
      changed.add(service.unit);
    }
  }
  if (changed.size > 0) await systemctl(["daemon-reload"]);
  const units = services.map((service) => `${service.unit}.service`);
  await systemctl(["enable", "--quiet", ...units]);
  const states = await observe(services.map((service) => service.unit));
  const due = states.filter((state) => state.state === "stopped" || changed.has(state.unit));
  if (due.length > 0) {
    await systemctl(["restart", "--no-block", ...due.map((state) => `${state.unit}.service`)]);
  }
  return due.map((state) => state.unit);
}

async function stop(units: readonly string[]): Promise<void> {
  const known = (await observe(units)).filter((state) => state.state !== "absent");
  if (known.length === 0) return;
  const names = known.map((state) => `${state.unit}.service`);
  await systemctl(["disable", "--quiet", "--now", ...names]);
}

async function remove(units: readonly string[]): Promise<readonly string[]> {
  await stop(units);
  const removed: string[] = [];
  for (const unit of units) {
    try {
      await rm(unitFile(unit));
      removed.push(unit);
    } catch (error) {
      if (systemErrorCode(error) !== "ENOENT") throw error;
    }
  }
  if (removed.length > 0) {
    await systemctl(["daemon-reload"]);
    // Failing says only that there was nothing to forget.
    await askCommand("systemctl", ["reset-failed", ...removed.map((unit) => `${unit}.service`)]);
  }
  return removed;
}

async function restart(unit: string): Promise<void> {
  await systemctl(["restart", "--no-block", `${unit}.service`]);
}

async function observe(units: readonly string[]): Promise<readonly ProcessState[]> {
  return await Promise.all(units.map(observeUnit));
}

async function observeUnit(unit: string): Promise<ProcessState> {
  const properties = "LoadState,ActiveState,MainPID,StateChangeTimestampMonotonic";
  const text = await systemctl(["show", `${unit}.service`, `--property=${properties}`]);
  return parseUnitState(unit, text, uptime() * 1000);
}

/** Reads `systemctl show`; its monotonic stamps are microseconds since the boot, `uptimeMs` is now on that clock. */
export function parseUnitState(unit: string, text: string, uptimeMs: number): ProcessState {
  const values = new Map(
    text
      .split("\n")
      .filter((line) => line.includes("="))
      .map((line) => [line.slice(0, line.indexOf("=")), line.slice(line.indexOf("=") + 1)]),
  );
  const pid = Number(values.get("MainPID") ?? 0) || null;
  const active = values.get("ActiveState") ?? "inactive";
  if (values.get("LoadState") !== "loaded") {
    return { unit, state: "absent", pid: null, forMs: null };
  }
  const state =
    active === "active" || active === "reloading"
      ? "running"
      : active === "activating"
        ? "starting"
        : "stopped";
  const sinceMs = Number(values.get("StateChangeTimestampMonotonic") ?? Number.NaN) / 1000;
  const forMs = Number.isFinite(sinceMs) ? Math.max(0, Math.round(uptimeMs - sinceMs)) : null;
  return { unit, state, pid: state === "running" ? pid : null, forMs };
}

async function systemctl(args: readonly string[]): Promise<string> {
  try {
    return await runCommand("systemctl", ["--no-ask-password", ...args], { timeoutMs: 120_000 });
  } catch (error) {
    throw new HostError("host-supervisor-failed", errorMessage(error), {
      advice: "see `systemctl status` and `journalctl -u` of the unit",
      cause: error,
    });
  }
}
