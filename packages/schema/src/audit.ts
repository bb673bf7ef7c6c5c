/**
 * The audit log: what its lines say, in the log's files, in an export and over the APIs.
 *
 * A line is one JSON document in canonical form (RFC 8785): an entry, or a checkpoint that stands
 * where retention removed entries. `docs/decisions/0012-audit-chain.md` says what they prove.
 */
import * as z from "zod";

/** SHA-256 in lower-case hex. */
const Hash = z.string().regex(/^[0-9a-f]{64}$/, "a SHA-256 in lower-case hex");
const Seq = z.int().min(1);
const Time = z.iso.datetime();
/** SHA-256 over the key's SPKI in DER, in hex. */
const KeyFingerprint = Hash;
/** Ed25519 (RFC 8032), base64. */
const Signature = z.string().regex(/^[A-Za-z0-9+/]{86}==$/, "an Ed25519 signature in base64");

export const AUDIT_TEXT_CHARS = 500;
/** Names of facts: never such as JSON would sort in another way than RFC 8785. */
const FactName = z.string().regex(/^[A-Za-z][A-Za-z0-9_.-]{0,59}$/, "a name of letters, digits, _ . -");

export const AuditWriter = z.enum(["warden", "root", "sensord"]);
export type AuditWriter = z.infer<typeof AuditWriter>;

/** One thing that is to be recorded. */
export const AuditEntry = z.strictObject({
  kind: z.string().min(1).max(60),
  subject: z.string().max(120),
  detail: z
    .record(FactName, z.union([z.string().max(AUDIT_TEXT_CHARS), z.number(), z.boolean()]))
    .refine((detail) => Object.keys(detail).length <= 32, "at most 32 facts"),
});
export type AuditEntry = z.infer<typeof AuditEntry>;

/** One entry of the chain: `hash` is SHA-256 over the canonical JSON of the other members. */
export const AuditRecord = z.strictObject({
  seq: Seq,
  time: Time,
  by: AuditWriter,
  ...AuditEntry.shape,
  /** `hash` of the entry before; 64 zeros before the first. */
  prev: Hash,
  hash: Hash,
});
export type AuditRecord = z.infer<typeof AuditRecord>;

/** Stands in place of entries that retention removed, so that what remains verifies. */
export const AuditCheckpoint = z.strictObject({
  checkpoint: z.strictObject({
    /** First and last entry that was removed. */
    from: Seq,
    to: Seq,
    /** `prev` of the first, `hash` of the last. */
    prev: Hash,
    hash: Hash,
    /** How many of each writer were removed. */
    removed: z.strictObject({ warden: z.int(), root: z.int(), sensord: z.int() }),
    time: Time,
  }),
  key: KeyFingerprint,
  signature: Signature,
});
export type AuditCheckpoint = z.infer<typeof AuditCheckpoint>;

/** Where the log ends, signed: what was cut off behind it is missed. */
export const AuditHead = z.strictObject({
  head: z.strictObject({ seq: Seq, hash: Hash, time: Time }),
  key: KeyFingerprint,
  signature: Signature,
});
export type AuditHead = z.infer<typeof AuditHead>;

/** First line of an export; the log's lines follow as they are. */
export const AuditExport = z.strictObject({
  export: z.literal("bulkhead-audit/v1"),
  installation: z.string(),
  /** The sensor's public key, PEM. */
  publicKey: z.string().max(1000),
  head: AuditHead,
});
export type AuditExport = z.infer<typeof AuditExport>;

const MOST_ENTRIES = 500;

/** What warden is asked for: entries behind `after`, or the newest where that is null. */
export const AuditReading = z.strictObject({
  after: z.int().min(0).nullable(),
  limit: z.int().min(1).max(MOST_ENTRIES),
});
export type AuditReading = z.infer<typeof AuditReading>;

export const AuditPage = z.strictObject({
  /** In order. Ends where `limit` is reached or nothing more is there. */
  entries: z.array(AuditRecord),
  /** The newest entry of the log. */
  newest: z.int().min(0),
});
export type AuditPage = z.infer<typeof AuditPage>;

export const AuditQuery = z.strictObject({
  /** Entries behind this one; without it the newest. */
  after: z.coerce.number().int().min(0).optional(),
  limit: z.coerce.number().int().min(1).max(100_000).default(50),
  follow: z.stringbool().default(false),
});
export type AuditQuery = z.infer<typeof AuditQuery>;
