/**
 * Health: the latest report of each instrument and how long it has been silent. It judges nothing
 * (instrument-state.ts does).
 *
 * A report of a former run of the container says nothing of the present one and is not shown.
 */
import type { HealthReport, Name } from "@bulkhead/schema";

/** Instruments report every 5 s; after this long without one, a report says nothing about now. */
export const REPORT_STALE_MS = 20_000;

/** A report may come a little before warden tells that the container runs. */
const EARLY_MS = 1000;

export interface HeardHealth {
  readonly report: HealthReport | null;
  /** Age of the report; where there is none, how long the container has been running. */
  readonly silentMs: number;
}

export class HealthBook {
  readonly #reports = new Map<Name, { readonly report: HealthReport; readonly atMs: number }>();
  readonly #runs = new Map<Name, { readonly pid: number; readonly sinceMs: number }>();

  record(instrument: Name, report: HealthReport, nowMs: number): void {
    this.#reports.set(instrument, { report, atMs: nowMs });
  }

  /** Which containers run, by the pid of their init; all others do not. */
  observe(pids: ReadonlyMap<Name, number>, nowMs: number): void {
    for (const name of this.#runs.keys()) if (!pids.has(name)) this.#runs.delete(name);
    for (const [name, pid] of pids) {
      if (this.#runs.get(name)?.pid !== pid) this.#runs.set(name, { pid, sinceMs: nowMs });
    }
  }

  heard(instrument: Name, nowMs: number): HeardHealth {
    const run = this.#runs.get(instrument);
    const heard = this.#reports.get(instrument);
    const sinceMs = run?.sinceMs ?? nowMs;
    return heard === undefined || (run !== undefined && heard.atMs < sinceMs - EARLY_MS)
      ? { report: null, silentMs: nowMs - sinceMs }
      : { report: heard.report, silentMs: nowMs - heard.atMs };
  }

  /** Forgets all but these. */
  retain(instruments: ReadonlySet<Name>): void {
    for (const name of this.#reports.keys()) {
      if (!instruments.has(name)) this.#reports.delete(name);
    }
  }
}
