/**
 * Ledger counts: counters that begin at zero now and then (kernel objects made anew, a tool
 * started again) joined into sums that only rise. Pure.
 *
 * A counter is known by its epoch. Within one epoch the difference to the last reading is added;
 * a new epoch adds its whole reading. So a process that was killed and continues from its last
 * kept count neither loses nor counts twice what happened meanwhile in the same epoch.
 */
import type { HealthReport, TapCounters } from "@bulkhead/schema";
import * as z from "zod";

const count = z.int().min(0);

/** What is measured from outside, since the tap was first made. */
export const Totals = z.strictObject({
  seen: count,
  matched: count,
  notMirrored: count,
  received: count,
  guardDropped: count,
});
export type Totals = Readonly<z.infer<typeof Totals>>;

export const OutsideCount = z.strictObject({ epoch: z.string(), last: Totals, totals: Totals });
export type OutsideCount = Readonly<z.infer<typeof OutsideCount>>;

/** What the tool reported. `processed` is what it received and did not drop, over all its starts. */
export const ToolCount = z.strictObject({
  epoch: z.string(),
  lastProcessed: count,
  processed: count,
});
export type ToolCount = Readonly<z.infer<typeof ToolCount>>;

const NOTHING: Totals = { seen: 0, matched: 0, notMirrored: 0, received: 0, guardDropped: 0 };

export function countOutside(former: OutsideCount | null, counters: TapCounters): OutsideCount {
  const same = former?.epoch === counters.epoch;
  const last = same ? former.last : NOTHING;
  const before = former?.totals ?? NOTHING;
  const add = (key: keyof Totals): number => before[key] + Math.max(0, counters[key] - last[key]);
  const reading = (key: keyof Totals): number => Math.max(counters[key], last[key]);
  return { epoch: counters.epoch, last: eachTotal(reading), totals: eachTotal(add) };
}

export function countTool(
  former: ToolCount | null,
  { epoch, received, dropped }: NonNullable<HealthReport["packets"]>,
): ToolCount {
  const reading = Math.max(0, received - dropped);
  const last = former?.epoch === epoch ? former.lastProcessed : 0;
  return {
    epoch,
    lastProcessed: Math.max(reading, last),
    processed: (former?.processed ?? 0) + Math.max(0, reading - last),
  };
}

function eachTotal(value: (key: keyof Totals) => number): Totals {
  return {
    seen: value("seen"),
    matched: value("matched"),
    notMirrored: value("notMirrored"),
    received: value("received"),
    guardDropped: value("guardDropped"),
  };
}
