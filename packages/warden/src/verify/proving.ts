/** What warden offers to a proof, besides what it does anyway. */
import type { Observed, ObservedInstrument } from "@bulkhead/schema";
import { CANARY_NAME } from "@bulkhead/schema";
import { CANARY_SEGMENT } from "./canary-network.ts";
import type { Canaries } from "./canaries.ts";

export interface Proving {
  readonly canaries: Canaries;
  /** Every instrument against its profile, now. */
  readBack(): Promise<readonly ObservedInstrument[]>;
}

/** What was found without what a canary has: a plan must neither want nor remove it. */
export function withoutCanary(observed: Observed): Observed {
  const others = <T extends { readonly instrument: string }>(all: readonly T[]): T[] =>
    all.filter(({ instrument }) => instrument !== CANARY_NAME);
  return {
    ...observed,
    engines: observed.engines.filter((engine) => engine !== CANARY_NAME),
    spans: observed.spans.filter(({ engine }) => engine !== CANARY_NAME),
    segments: observed.segments.filter(({ segment }) => segment !== CANARY_SEGMENT),
    ports: others(observed.ports),
    nics: others(observed.nics),
    taps: observed.taps.filter(({ engine }) => engine !== CANARY_NAME),
    volumes: others(observed.volumes),
    inboxes: others(observed.inboxes),
    resourceDirs: observed.resourceDirs.filter((name) => name !== CANARY_NAME),
  };
}
