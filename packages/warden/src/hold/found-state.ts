/**
 * Found state: what warden tells of a look at the host, made of what was found and what is
 * remembered. Pure.
 */
import { type CheckedSite, packageTexts } from "@bulkhead/core";
import type { Observed, Step, WardenState } from "@bulkhead/schema";
import type { StoredSite } from "../site/site-store.ts";
import type { HoldState } from "./hold-state.ts";

export interface Found {
  /** The accepted site, and how the core reads it; null before the first apply. */
  readonly site: StoredSite | null;
  readonly checked: CheckedSite | null;
  readonly observed: Observed;
  readonly lastSteps: readonly Step[];
  readonly problems: WardenState["problems"];
  readonly vault: WardenState["vault"];
}

export function stateOf(
  found: Found,
  remembered: Pick<HoldState, "stopped" | "crashes" | "erasures">,
  nowMs: number,
): Omit<WardenState, "revision"> {
  const { site, checked, observed } = found;
  const instruments = checked?.instruments ?? [];
  const packages = Object.fromEntries(instruments.map((i) => [i.name, packageTexts(i.package)]));
  return {
    site: site === null ? null : { version: site.version, text: site.text, files: [...site.files], packages },
    stopped: [...remembered.stopped],
    observed,
    crashes: remembered.crashes(nowMs).map(({ instrument, count, nextStartMs, reason }) => ({
      instrument,
      count,
      nextStart: nextStartMs > nowMs ? new Date(nextStartMs).toISOString() : null,
      reason,
    })),
    problems: found.problems,
    lastSteps: [...found.lastSteps],
    pending: instruments.flatMap(({ name, wider }) => wider.map((what) => ({ instrument: name, what }))),
    vault: found.vault,
    erasures: [...remembered.erasures],
  };
}

/** Host pids of the instruments that run. */
export function pidsOf(observed: Observed): ReadonlyMap<string, number> {
  return new Map(observed.instruments.flatMap(({ name, pid }) => (pid === null ? [] : [[name, pid]])));
}
