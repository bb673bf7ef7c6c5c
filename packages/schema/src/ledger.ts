/**
 * Loss ledger: for each tap, what became of every frame that its span saw (design section 6).
 *
 *   seen     = filtered + mirrored + notMirrored
 *   mirrored = wireDropped + received
 *   received = processed + toolDropped
 *
 * All counts are since the tap was first made and never go backwards.
 */
import * as z from "zod";
import { Name } from "./name.ts";

const count = z.int().min(0);

/** Cumulative counts of one incarnation of a tap, measured by warden from outside the instrument. */
export const TapCounters = z.strictObject({
  instrument: Name,
  engine: Name,
  /** Changes whenever the kernel objects were made anew and the counters began at zero. */
  epoch: z.string(),
  seen: count,
  matched: count,
  notMirrored: count,
  received: count,
  /** Frames that the instrument tried to send and a guard dropped. */
  guardDropped: count,
});
export type TapCounters = z.infer<typeof TapCounters>;

/** seen = filtered + mirrored + notMirrored; mirrored = wireDropped + received; received = processed + toolDropped. */
export const LedgerFigures = z.strictObject({
  seen: count,
  filtered: count,
  mirrored: count,
  notMirrored: count,
  wireDropped: count,
  received: count,
  processed: count,
  toolDropped: count,
  guardDropped: count,
});
export type LedgerFigures = Readonly<z.infer<typeof LedgerFigures>>;

export const LedgerRow = z.strictObject({
  instrument: Name,
  engine: Name,
  ...LedgerFigures.shape,
  /** Which figures were measured from outside and which the tool reported. */
  measured: z.array(z.string()),
  reported: z.array(z.string()),
});
export type LedgerRow = z.infer<typeof LedgerRow>;
