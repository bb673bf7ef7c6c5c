/**
 * Events on the bus: CloudEvents 1.0 in the binary mode of its NATS protocol binding: attributes
 * in `ce-…` headers, the tool's own record, untouched, as the payload.
 *
 * `id` is also the JetStream message id, so that a repeated publish is stored once.
 */
import * as z from "zod";
import { DottedName, Name } from "./name.ts";

/** What a reader gets: attributes, and the record as the tool wrote it. */
export const EventRecord = z.strictObject({
  id: z.string().min(1).max(128),
  /** The instrument that emitted it (from the subject, never from what the emitter claims). */
  instrument: Name,
  type: DottedName,
  /** RFC 3339, when it happened, as the emitter says. */
  time: z.string(),
  /** RFC 3339, when the broker stored it. */
  stored: z.string(),
  /** Position in the emitter's stream. */
  sequence: z.int().positive(),
  data: z.unknown(),
});
export type EventRecord = z.infer<typeof EventRecord>;

/** Header names of the CloudEvents NATS binding, section 3.1.3. */
export const CE_HEADER = {
  specversion: "ce-specversion",
  id: "ce-id",
  source: "ce-source",
  type: "ce-type",
  time: "ce-time",
} as const;
export const MESSAGE_ID_HEADER = "Nats-Msg-Id";
/** Largest record that the bus takes. */
export const MAX_EVENT_BYTES = 1024 * 1024;
