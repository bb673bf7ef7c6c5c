/**
 * Resources: files that one instrument publishes and others receive, by way of the platform (Deliver),
 * and which granted peers there are (Find). Requests are JSON over the bus; a chunk is bytes.
 *
 * A publisher's word is checked, never believed; a receiver sees a version whole or not at all.
 */
import * as z from "zod";
import { InstrumentState } from "./api.ts";
import { DottedName, Name } from "./name.ts";

/** What a publisher calls a resource: unique within publisher and type, and a path component. */
export const ResourceName = z
  .string()
  .max(64, "at most 64 characters")
  .regex(
    /^[a-z0-9]+([._-][a-z0-9]+)*$/,
    "lower-case letters and digits, joined by single dots, dashes or underscores",
  );
export type ResourceName = z.infer<typeof ResourceName>;

export const Sha256 = z.string().regex(/^[0-9a-f]{64}$/, "64 hex digits");
/** `7-3f2a9c1e04b7`: a count that only grows, and the beginning of the hash. */
export const ResourceVersion = z.string().regex(/^[0-9]{1,15}-[0-9a-f]{12}$/);

export const MediaType = z
  .string()
  .max(100)
  .regex(/^[a-z0-9][a-z0-9.+-]*\/[a-z0-9][a-z0-9.+-]*$/, "a media type such as text/plain");
export const DEFAULT_MEDIA_TYPE = "application/octet-stream";

/** `svc.<from>.deliver` (request): a delivery begins. */
export const DeliveryOpen = z.strictObject({
  type: DottedName,
  name: ResourceName,
  sizeBytes: z.int().min(0),
  /** Left out: the receipt says it. */
  sha256: Sha256.optional(),
  mediaType: MediaType.default(DEFAULT_MEDIA_TYPE),
});
export type DeliveryOpen = z.infer<typeof DeliveryOpen>;

/** Why a delivery does not go on. After all but `out-of-order` and `busy` it is over, and nothing of it is left. */
export const DeliveryRefusal = z.enum([
  /** What was asked is not of the shape above; also a name that could be a path. */
  "invalid",
  /** The manifest declares no such type to publish. */
  "not-declared",
  /** Larger than the manifest declares. */
  "too-large",
  /** As many deliveries are under way as one instrument may have, or it begins them too fast. */
  "busy",
  /** It would have more resources, or more bytes in them, than one instrument may. */
  "quota",
  "no-space",
  /** There is no such delivery of this instrument; also after a restart of the platform. */
  "unknown",
  /** A chunk does not begin where the last one ended; `next` says where. */
  "out-of-order",
  /** More bytes came than were announced. */
  "oversized",
  /** It was closed before all announced bytes came. */
  "incomplete",
  "hash-differs",
  /** No chunk came for too long, or the whole took too long. */
  "stalled",
  /** By its sender, or since it began another delivery of the same name. */
  "aborted",
  /** The platform could not keep it. */
  "failed",
]);
export type DeliveryRefusal = z.infer<typeof DeliveryRefusal>;

/** In the error line with which the gate refuses a part of a delivery that is not there. */
export const NO_SUCH_DELIVERY = "no such delivery";

const Refused = z.strictObject({
  ok: z.literal(false),
  refusal: DeliveryRefusal,
  message: z.string(),
  next: z.int().optional(),
});
export type RefusedDelivery = z.infer<typeof Refused>;

export const DeliveryReceipt = z.strictObject({
  version: ResourceVersion,
  sha256: Sha256,
  sizeBytes: z.int(),
  /** Who has it. */
  receivers: z.array(Name).readonly(),
});
export type DeliveryReceipt = z.infer<typeof DeliveryReceipt>;

export const DeliveryOpened = z.union([
  z.strictObject({
    ok: z.literal(true),
    /** Of this delivery: `svc.<from>.deliver.<id>.<offset>` is a chunk, `….close` and `….abort` end it. */
    id: z.string().regex(/^[0-9a-f]{16}$/),
    chunkBytes: z.int().positive(),
    /** Chunks that may be under way without an answer. */
    window: z.int().positive(),
  }),
  Refused,
]);
export const ChunkAnswer = z.union([z.strictObject({ ok: z.literal(true), next: z.int() }), Refused]);
export const CloseAnswer = z.union([
  z.strictObject({ ok: z.literal(true), receipt: DeliveryReceipt }),
  Refused,
]);

/** `cmd.<to>.resource` (request): a version lies at `path`; sent again at each greeting. */
export const ResourceNotice = z.strictObject({
  from: Name,
  type: DottedName,
  name: ResourceName,
  version: ResourceVersion,
  sha256: Sha256,
  sizeBytes: z.int(),
  mediaType: MediaType,
  /** Below the receiver's read-only directory: `<from>/<type>/<name>/<version>`. */
  path: z.string(),
  /** RFC 3339. */
  deliveredAt: z.string(),
});
export type ResourceNotice = z.infer<typeof ResourceNotice>;

/** What the receiver made of it. */
export const ResourceAnswer = z.discriminatedUnion("outcome", [
  z.strictObject({ outcome: z.literal("taken") }),
  z.strictObject({ outcome: z.literal("failed"), message: z.string().max(500) }),
  /** It runs and has nothing that takes this type. */
  z.strictObject({ outcome: z.literal("no-handler") }),
]);
export type ResourceAnswer = z.infer<typeof ResourceAnswer>;

/** `svc.<from>.find` (request): peers of this package with whom a grant is shared. */
export const FindRequest = z.strictObject({ type: Name });
export type FindRequest = z.infer<typeof FindRequest>;
export const Peer = z.strictObject({ name: Name, package: Name, state: InstrumentState });
export type Peer = z.infer<typeof Peer>;
export const FindAnswer = z.union([
  z.strictObject({ ok: z.literal(true), peers: z.array(Peer) }),
  z.strictObject({ ok: z.literal(false), message: z.string() }),
]);
export type FindAnswer = z.infer<typeof FindAnswer>;

/** One resources grant as it is in force. */
export const ResourceRoute = z.strictObject({
  from: Name,
  to: Name,
  type: DottedName,
  /** The smaller of what the two declare. */
  maxBytes: z.int(),
});
export type ResourceRoute = z.infer<typeof ResourceRoute>;

/**
 * What became of the current version at a receiver. `waiting`: not told or not answered yet, or its container
 * was never made; `too-large`: for what it declares; `not-there`: the platform could not place it.
 */
export const ReceiverState = z.enum(["taken", "failed", "no-handler", "waiting", "too-large", "not-there"]);
export type ReceiverState = z.infer<typeof ReceiverState>;

export const ResourcesReport = z.strictObject({
  resources: z.array(
    z.strictObject({
      from: Name,
      type: DottedName,
      name: ResourceName,
      version: ResourceVersion,
      sha256: Sha256,
      sizeBytes: z.int(),
      mediaType: MediaType,
      deliveredAt: z.string(),
      receivers: z.array(
        z.strictObject({
          to: Name,
          state: ReceiverState,
          /** What the receiver said; empty where it said nothing. */
          detail: z.string(),
          /** The version that lies with it, or null. */
          current: ResourceVersion.nullable(),
          /** The newest before `current` that it took without an error, or null. */
          lastGood: ResourceVersion.nullable(),
        }),
      ),
    }),
  ),
  /** Deliveries under way. */
  incoming: z.array(
    z.strictObject({
      from: Name,
      type: DottedName,
      name: ResourceName,
      sizeBytes: z.int(),
      receivedBytes: z.int(),
    }),
  ),
  /** Why something is not as granted; empty where all is. */
  problems: z.array(z.string()),
});
export type ResourcesReport = z.infer<typeof ResourcesReport>;
