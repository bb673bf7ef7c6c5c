/**
 * What an adversary and the proof's relay say to each other, one JSON line each.
 *
 * Invariants: what comes from the canary is bounded and strict: it is a claim, and no more.
 */
import * as z from "zod";

/** Longest line that is read from a canary. */
export const LINE_BYTES = 2_048;

export const FromAdversary = z.discriminatedUnion("type", [
  z.strictObject({ type: z.literal("hello"), uid: z.int().nonnegative() }),
  z.strictObject({
    type: z.literal("deed"),
    id: z.string().max(80),
    answer: z
      .string()
      .max(40)
      .regex(/^[A-Za-z0-9]+$/),
    detail: z.string().max(400),
  }),
  z.strictObject({ type: z.literal("released"), id: z.string().max(80) }),
]);
export type FromAdversary = z.infer<typeof FromAdversary>;

export const ToAdversary = z.discriminatedUnion("type", [
  z.strictObject({ type: z.literal("run"), id: z.string(), params: z.record(z.string(), z.unknown()) }),
  z.strictObject({ type: z.literal("release"), id: z.string() }),
  z.strictObject({ type: z.literal("end") }),
]);
export type ToAdversary = z.infer<typeof ToAdversary>;

/** What the relay adds: that an adversary came, went, or said what cannot be read. */
export const FromRelay = z.discriminatedUnion("type", [
  ...FromAdversary.options,
  z.strictObject({ type: z.literal("listening") }),
  z.strictObject({ type: z.literal("gone") }),
  z.strictObject({ type: z.literal("unreadable") }),
  /** Connections, datagrams and messages that stand-ins took so far, by name. */
  z.strictObject({ type: z.literal("counts"), counts: z.record(z.string(), z.int()) }),
]);
export type FromRelay = z.infer<typeof FromRelay>;
