/** Checks of the host, one line each, with what to do about what is not right. */
import type { HostCheck, InstallationProcess } from "@bulkhead/host";
import { tone } from "../output.ts";

const MARKS = {
  ok: tone("good", "ok    "),
  absent: tone("warn", "absent"),
  failed: tone("bad", "failed"),
} as const;

export function renderChecks(checks: readonly HostCheck[]): string {
  return checks
    .map((check) => {
      const advice = check.advice === "" ? "" : `\n         ${tone("dim", check.advice)}`;
      return `${MARKS[check.state]} ${check.id}: ${check.detail}${advice}`;
    })
    .join("\n");
}

export function renderProcesses(processes: readonly InstallationProcess[]): string {
  return processes
    .map(
      (p) =>
        `${tone(p.state === "running" ? "good" : "warn", p.state.padEnd(8))} ${p.process}${p.pid === null ? "" : ` (pid ${p.pid})`}`,
    )
    .join("\n");
}
