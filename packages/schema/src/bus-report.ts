/**
 * Bus report: who may say what to whom, what was said, what waits, and what was refused. Counts only
 * grow, for as long as sensord lives; rates are the difference of two reports.
 */
import * as z from "zod";
import { MessageOutcome, MessageRoute } from "./message.ts";
import { DottedName, Name } from "./name.ts";

export const BusReport = z.strictObject({
  /** RFC 3339. */
  time: z.string(),
  broker: z.enum(["up", "down"]),
  /** Why the newest grants are not in force, or null where they are. */
  problem: z.string().nullable(),
  /** Grants that give nothing, each with the reason. */
  ignored: z.array(z.string()),
  events: z.array(
    z.strictObject({
      from: Name,
      type: DottedName,
      to: Name,
      /** Events that the consumer has not been given yet, and those that it has not acknowledged. Null: the broker does not say. */
      lag: z.int().nullable(),
      unacknowledged: z.int().nullable(),
      /** Up to this sequence of the emitter's stream everything was acknowledged. */
      acknowledgedThrough: z.int().nullable(),
      /** Pulls that wait for events: none, and with a lag it does not consume. */
      waitingPulls: z.int().nullable(),
    }),
  ),
  messages: z.array(
    MessageRoute.extend({ pending: z.int(), outcomes: z.partialRecord(MessageOutcome, z.int()) }),
  ),
  instruments: z.array(
    z.strictObject({
      name: Name,
      connections: z.int(),
      /** Messages that the gate let through, by subject. */
      published: z.record(z.string(), z.int()),
      delivered: z.int(),
      refused: z.int(),
      refusedBy: z.record(z.string(), z.int()),
      /** The newest, oldest first. */
      refusals: z.array(z.strictObject({ at: z.string(), reason: z.string(), detail: z.string() })),
      throttled: z.int(),
      throttledMs: z.number(),
    }),
  ),
});
export type BusReport = z.infer<typeof BusReport>;
