/**
 * What steps are planned from, and which instruments shall run.
 */
import type { Name, Observed } from "@bulkhead/schema";
import type { Desired, DesiredInstrument } from "./desired.ts";
import type { TimeSpan } from "./slices.ts";

export interface StepsInput {
  readonly desired: Desired;
  readonly observed: Observed;
  /** Stopped by hand. */
  readonly stopped: readonly Name[];
  /** Ended by themselves, and not due for a start yet. */
  readonly held: readonly Name[];
  /** The vault is locked; false where left out. */
  readonly locked?: boolean;
  /** What slices of volumes are made and destroyed by; left out: they are left as they are. */
  readonly time?: TimeSpan;
}

export function runs(instrument: DesiredInstrument, input: StepsInput): boolean {
  return instrument.enabled && !input.stopped.includes(instrument.name);
}

/** Whether an instrument of this name is in the site and shall run. */
export function runsByName(name: Name, input: StepsInput): boolean {
  const instrument = input.desired.instruments.find((i) => i.name === name);
  return instrument !== undefined && runs(instrument, input);
}
