/**
 * Instrument state: one word and one plain sentence for how an instrument is, decided from what
 * the site wants, what warden found, what the instrument reports and what it said to its
 * configuration. Pure.
 *
 * What was measured from outside comes first: a report never makes an instrument look better than
 * what warden found.
 */
import type { HealthReport, InstrumentState, ObservedInstrument, WardenState } from "@bulkhead/schema";
import type * as z from "zod";
import type { ConfigState } from "./config-delivery.ts";
import { REPORT_STALE_MS } from "./health.ts";

/** A container that runs and has said nothing for this long is not merely starting. */
const FIRST_REPORT_MS = 60_000;

export interface InstrumentFacts {
  /** `enabled` in the site. */
  readonly enabled: boolean;
  readonly stoppedByHand: boolean;
  /** Null where there is no container. */
  readonly observed: z.infer<typeof ObservedInstrument> | null;
  readonly crash: WardenState["crashes"][number] | null;
  /** What warden could not do for it, and what waits. */
  readonly problems: readonly string[];
  readonly locked: boolean;
  readonly pending: readonly string[];
  /** `null` where the site gives it no tap. */
  readonly wire: "connected" | "broken" | "none" | null;
  /** Devices and addresses that it waits for, in plain words. */
  readonly waits: readonly string[];
  /** The device of its span, where that is without its guards. */
  readonly unguarded: string | null;
  readonly config: ConfigState;
  readonly report: HealthReport | null;
  /** Age of the report; where there is none, how long the container has been running. */
  readonly silentMs: number;
}

export interface JudgedState {
  readonly state: InstrumentState;
  /** Empty where all is well. */
  readonly detail: string;
}

export function judgeInstrument(facts: InstrumentFacts): JudgedState {
  if (facts.locked) return { state: "locked", detail: facts.problems.join("; ") };
  if (!facts.enabled || facts.stoppedByHand) return stopped(facts);
  if (facts.observed === null || facts.observed.state === "stopped") return absent(facts);
  return outside(facts, facts.observed) ?? inside(facts);
}

function stopped({ enabled, observed }: InstrumentFacts): JudgedState {
  const why = enabled ? "stopped by hand" : "not enabled in the site";
  return observed === null || observed.state === "stopped"
    ? { state: "stopped", detail: why }
    : degraded(`${why}, and not stopped yet`);
}

function absent({ crash, problems, pending, waits }: InstrumentFacts): JudgedState {
  if (problems.length > 0) return degraded(problems.join("; "));
  if (crash !== null) {
    const times =
      crash.count === 1 ? "ended by itself once" : `crash loop: ended by itself ${crash.count} times`;
    const next = crash.nextStart === null ? "" : `; next start at ${crash.nextStart}`;
    return degraded(`${times} (${crash.reason})${next}`);
  }
  if (pending.length > 0) return { state: "pending", detail: pending.join("; ") };
  return waits.length > 0 ? waitsFor(waits) : starting("is being made");
}

/** What warden found wrong with a container that is there. */
function outside(
  { problems, wire, waits, unguarded }: InstrumentFacts,
  observed: z.infer<typeof ObservedInstrument>,
): JudgedState | null {
  if (observed.state === "frozen") return degraded("its container is frozen");
  if (observed.state === "error") return degraded("its container is in an error state");
  if (observed.deviations.length > 0) {
    return degraded(`differs from its containment: ${observed.deviations.join("; ")}`);
  }
  if (problems.length > 0) return degraded(problems.join("; "));
  if (wire === "broken") return degraded("its tap is broken");
  if (waits.length > 0) return waitsFor(waits);
  if (unguarded !== null) return degraded(`its span ${unguarded} is not guarded`);
  return null;
}

function inside(facts: InstrumentFacts): JudgedState {
  const { report, config, silentMs, wire, pending } = facts;
  if (report === null) {
    return silentMs > FIRST_REPORT_MS
      ? degraded("runs, and has not reported")
      : starting("has not reported yet");
  }
  if (silentMs > REPORT_STALE_MS) {
    return degraded(`has not reported for ${Math.round(silentMs / 1000)} s`);
  }
  if (config.outcome === "refused") return degraded(refusalOf(config));
  if (report.state === "degraded") return degraded(report.detail || "says that it is degraded");
  if (report.state === "starting") return starting(report.detail || "is starting");
  if (wire === "none") return starting("its tap is being connected");
  if (config.outcome === "pending" && report.configVersion === null) {
    return starting("waits for its first configuration");
  }
  return { state: "running", detail: runningNote(config, pending) };
}

function refusalOf({ version, faults }: ConfigState): string {
  const first = faults[0];
  const place =
    first?.file === undefined ? "" : `${first.file}${first.line === undefined ? "" : `:${first.line}`}: `;
  const more = faults.length > 1 ? ` (and ${faults.length - 1} more)` : "";
  return `refused its configuration ${version ?? ""}: ${place}${first?.message ?? ""}${more}; the former one is in force`;
}

function runningNote(config: ConfigState, pending: readonly string[]): string {
  const notes = config.outcome === "pending" ? ["a new configuration is being delivered"] : [];
  return [...notes, ...pending].join("; ");
}

function waitsFor(waits: readonly string[]): JudgedState {
  return { state: "pending", detail: waits.join("; ") };
}

function degraded(detail: string): JudgedState {
  return { state: "degraded", detail };
}

function starting(detail: string): JudgedState {
  return { state: "starting", detail };
}
