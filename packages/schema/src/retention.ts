/**
 * Retention: how the platform has an instrument forget, what is answered, and what `bulkhead
 * retention` shows. Times are RFC 3339; what an instrument says is marked as reported.
 */
import * as z from "zod";
import { Name } from "./name.ts";

/** Event of the platform: something is kept longer than its period, or no longer is. */
export const RETENTION_EVENT = "retention.breach";

/** `cmd.<i>.retention` (request). `before` is event time by the platform's clock, never by the instrument's. */
export const RetentionCommand = z.strictObject({
  before: z.iso.datetime(),
  reason: z.enum(["schedule", "erase"]),
});
export type RetentionCommand = z.infer<typeof RetentionCommand>;

export const RetentionAnswer = z.strictObject({
  /** How many records went; null where the store cannot count them. */
  removed: z.int().min(0).nullable(),
  /** Event time of the oldest record that is left; null where there is none. */
  oldest: z.iso.datetime().nullable(),
  /** Why it could not be done; left out where it was. */
  problem: z.string().max(500).optional(),
});
export type RetentionAnswer = z.infer<typeof RetentionAnswer>;

export const RetentionBreach = z.strictObject({
  /** Whether the instrument itself says so, or the platform measured it. */
  basis: z.enum(["reported", "measured"]),
  /** Which record: `EV_ids, sequence 17`, `a file in /data/pcap`, `as the instrument says`. */
  record: z.string(),
  oldest: z.iso.datetime(),
  ageMs: z.number(),
  periodMs: z.number(),
  since: z.iso.datetime(),
});
export type RetentionBreach = z.infer<typeof RetentionBreach>;

/** One store: what an instrument keeps on its volumes, its events or its log lines; or one of the platform's. */
export const RetentionRow = z.strictObject({
  owner: Name,
  store: z.enum(["records", "slices", "events", "log", "refusals"]),
  /** Null: kept without end, or never older than the process. `by`: the line that says so. */
  periodMs: z.number().nullable(),
  by: z.string(),
  reported: z.strictObject({
    /** `unasked`: it is not running or was not asked yet; `silent`: it did not answer in time; `failed`: it said why. */
    outcome: z.enum(["none", "unasked", "answered", "silent", "failed"]),
    oldest: z.iso.datetime().nullable(),
    /** When it was heard last. */
    at: z.iso.datetime().nullable(),
    detail: z.string(),
  }),
  measured: z.strictObject({
    oldest: z.iso.datetime().nullable(),
    /** How it was measured, or why it cannot be. */
    how: z.string(),
  }),
  sizeBytes: z.int().nullable(),
  lastPurge: z.strictObject({ at: z.iso.datetime(), removed: z.int().nullable() }).nullable(),
  nextPurge: z.iso.datetime().nullable(),
  breaches: z.array(RetentionBreach),
  /** Of volumes that are cut in slices: how many there are. Their keys are destroyed, with no trust in the instrument. */
  enforced: z.strictObject({ slices: z.int() }).optional(),
});
export type RetentionRow = z.infer<typeof RetentionRow>;

/** What is kept of the host's clocks over a restart: see core/retention-clock.ts. */
const KeptReading = z.strictObject({ wallMs: z.number(), uptimeMs: z.number(), bootId: z.string() });
export const KeptClock = z.strictObject({
  anchor: KeptReading,
  latest: KeptReading,
  afterBoot: z.boolean(),
  settling: KeptReading.nullable(),
});

/** `agrees`: with the time elapsed since it was last known good. While it does not, the earlier of the two counts. */
export const ClockState = z.strictObject({
  state: z.enum(["agrees", "settling", "differs", "implausible"]),
  /** By which periods are counted; null while there is no plausible time at all. */
  now: z.iso.datetime().nullable(),
  /** What the host's clock says. */
  wall: z.iso.datetime(),
  /** Wall minus expected; positive: the host's clock is ahead. */
  gapMs: z.number(),
  detail: z.string(),
});
export type ClockState = z.infer<typeof ClockState>;

export const RetentionReport = z.strictObject({
  sensor: Name.nullable(),
  clock: ClockState,
  policy: z.strictObject({
    minimumMs: z.number().nullable(),
    maximumMs: z.number().nullable(),
    platformMs: z.number(),
  }),
  rows: z.array(RetentionRow),
});
export type RetentionReport = z.infer<typeof RetentionReport>;

export const EraseRequest = z.strictObject({
  /** Everything where it is left out. */
  before: z.iso.datetime().optional(),
});
export type EraseRequest = z.infer<typeof EraseRequest>;

/** What an erasure did. `complete` is false where the instrument did not confirm it. */
export const EraseReply = z.strictObject({
  instrument: Name,
  before: z.iso.datetime(),
  complete: z.boolean(),
  records: z.strictObject({
    outcome: z.enum(["answered", "silent", "failed"]),
    removed: z.int().nullable(),
    oldest: z.iso.datetime().nullable(),
    detail: z.string(),
  }),
  events: z.int(),
  logLines: z.int(),
});
export type EraseReply = z.infer<typeof EraseReply>;
