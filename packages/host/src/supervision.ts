/**
 * Which supervisor a host has. systemd is used where it is the init, whether or not its programs are installed.
 */
import { stat } from "node:fs/promises";
import { HOST_LAYOUT } from "@bulkhead/schema";
import { systemErrorCode } from "./error.ts";
import { s6Supervisor } from "./s6-supervisor.ts";
import type { Supervisor } from "./supervisor.ts";
import { systemdSupervisor } from "./systemd-supervisor.ts";

/** @see sd_booted(3) */
export async function detectSupervisor(): Promise<Supervisor["kind"]> {
  try {
    return (await stat("/run/systemd/system")).isDirectory() ? "systemd" : "s6";
  } catch (error) {
    if (systemErrorCode(error) === "ENOENT") return "s6";
    throw error;
  }
}

export function openSupervisor(kind: Supervisor["kind"]): Supervisor {
  return kind === "systemd" ? systemdSupervisor() : s6Supervisor(HOST_LAYOUT.servicesDir);
}
