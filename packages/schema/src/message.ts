/**
 * Messages from one instrument to another: a request and its one reply, both JSON, seen by the
 * recipient alone.
 *
 * A reply is what the recipient's handler returned; where there is none, a header says why, and the
 * payload says it in words. What the platform keeps of a message is metadata, never its content.
 */
import * as z from "zod";
import { DottedName, Name } from "./name.ts";

/** Header of a reply that is a refusal; its value is a `MessageRefusal`. */
export const REFUSED_HEADER = "Bulkhead-Refused";

/** How long a recipient has to answer, where its manifest does not say. */
export const DEFAULT_MESSAGE_DEADLINE_MS = 10_000;
/** What a manifest may ask for at most: the broker lets a reply through for as long. */
export const MAX_MESSAGE_DEADLINE_MS = 120_000;
/** Largest reply, headers included, to a message whose reply holds nothing: its outcome and a few words. */
export const STATUS_REPLY_BYTES = 1024;

/** Why a message was not done: the first four are the recipient's to say, the others the platform's. */
export const MessageRefusal = z.enum([
  /** The recipient runs and takes no such message. */
  "no-handler",
  /** The message is not of the shape that the recipient declares. */
  "invalid",
  "failed",
  "busy",
  /** The grant was taken back while it waited. */
  "revoked",
  /** The rules of the bus changed, or the recipient went, while it waited: it may have been handled. */
  "interrupted",
  "late",
]);
export type MessageRefusal = z.infer<typeof MessageRefusal>;

/** What became of a message: done, why not, or that it never reached anybody. */
export const MessageOutcome = z.enum(["answered", ...MessageRefusal.options, "not-granted", "not-running"]);
export type MessageOutcome = z.infer<typeof MessageOutcome>;

/** What the platform keeps of one message. Sizes in bytes, headers included. */
export const MessageRecord = z.strictObject({
  /** RFC 3339, when it was sent. */
  time: z.string(),
  from: Name,
  /** As the sender named it; `?` where that is no name. */
  to: z.string(),
  verb: z.string(),
  sizeBytes: z.int(),
  replyBytes: z.int().nullable(),
  outcome: MessageOutcome,
  durationMs: z.int(),
});
export type MessageRecord = z.infer<typeof MessageRecord>;

export const MessageQuery = z.strictObject({
  /** Only messages from or to this instrument. */
  instrument: Name.optional(),
  limit: z.coerce.number().int().min(1).max(1000).default(100),
  follow: z.stringbool().default(false),
});
export type MessageQuery = z.infer<typeof MessageQuery>;

/** One messages grant as it is in force. */
export const MessageRoute = z.strictObject({
  from: Name,
  to: Name,
  verb: DottedName,
  deadlineMs: z.int(),
  /** `status`: the reply holds its outcome alone, and is held to `STATUS_REPLY_BYTES`. */
  reply: z.enum(["status", "data"]),
});
export type MessageRoute = z.infer<typeof MessageRoute>;
