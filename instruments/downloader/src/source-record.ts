/** What is kept of a source over restarts: its last good version and how its runs went. */
import * as z from "zod";
import { FAILURES, REFUSALS } from "./problem.ts";

const Time = z.iso.datetime();
const Sha256 = z.string().regex(/^[0-9a-f]{64}$/);

export const Version = z.strictObject({
  /** Of what is handed over: the content itself, or what was unpacked of it. */
  sha256: Sha256,
  sizeBytes: z.int().positive(),
  /** Of what came. */
  fetchedSha256: Sha256,
  mediaType: z.string().nullable(),
  origin: z.enum(["network", "import"]),
  verifiedBy: z.enum(["none", "sha256", "minisign", "bundle"]),
  validators: z
    .strictObject({ url: z.string(), etag: z.string().nullable(), lastModified: z.string().nullable() })
    .nullable(),
  /** Of the settings that decide what is taken; under others it is fetched anew. */
  settingsKey: z.string(),
  at: Time,
  /** How old the content says to be: the signed time, else the host's Last-Modified, else when it came. */
  asOf: Time,
});
export type Version = z.infer<typeof Version>;

export const Delivery = z.strictObject({
  type: z.string(),
  name: z.string(),
  sha256: Sha256,
  version: z.string(),
  receivers: z.array(z.string()),
  at: Time,
});
export type Delivery = z.infer<typeof Delivery>;

export const RunProblem = z.strictObject({
  at: Time,
  kind: z.enum(["failed", "refused"]),
  reason: z.enum([...FAILURES, ...REFUSALS]),
  detail: z.string(),
});
export type RunProblem = z.infer<typeof RunProblem>;

export const Totals = z.strictObject({
  fetched: z.int(),
  unchanged: z.int(),
  refused: z.int(),
  failed: z.int(),
  receivedBytes: z.int(),
});

export const SourceRecord = z.strictObject({
  formatVersion: z.literal(1),
  current: Version.nullable(),
  /** The newest time that a signature vouched for: nothing signed before it is taken again. */
  newestSignedAt: Time.nullable(),
  lastTryAt: Time.nullable(),
  /** The last time that the last good version was known to be the newest. */
  lastSuccessAt: Time.nullable(),
  nextRunAt: Time.nullable(),
  /** In a row. */
  failures: z.int(),
  /** Of the last run; null where it went well. */
  problem: RunProblem.nullable(),
  delivered: Delivery.nullable(),
  totals: Totals,
});
export type SourceRecord = z.infer<typeof SourceRecord>;

export const NEW_RECORD: SourceRecord = {
  formatVersion: 1,
  current: null,
  newestSignedAt: null,
  lastTryAt: null,
  lastSuccessAt: null,
  nextRunAt: null,
  failures: 0,
  problem: null,
  delivered: null,
  totals: { fetched: 0, unchanged: 0, refused: 0, failed: 0, receivedBytes: 0 },
};
