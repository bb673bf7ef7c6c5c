/**
 * The operator's settings of the downloader; config.schema.json says the same, and a test holds the two together.
 *
 * There is no way to leave the check of a source out by accident: `verify` has no default.
 */
import { DottedName, Duration, parseEgressTarget, ResourceName, Size } from "@bulkhead/schema";
import * as z from "zod";

/** Types that the manifest asks to publish. */
export const PUBLISHED_TYPES = ["ruleset.feed", "watch-list"] as const;
/** As the manifest's `size` of what it publishes. */
export const MOST_BYTES = 64 * 1024 * 1024;

const HttpUrl = z
  .url()
  .max(2_000)
  .regex(/^https?:\/\/[^@/?#\s]+([/?#]\S*)?$/, "an http(s) address without a user");
const Pem = z.string().max(100_000);
const Pin = z.string().regex(/^[A-Za-z0-9+/]{43}=$/, "the SHA-256 of a public key (SPKI) in base64");
const MinisignKey = z.string().regex(/^RW[A-Za-z0-9+/]{54}$/, "a public key of minisign in base64 (RW…)");
const Sha256 = z.string().regex(/^[0-9a-f]{64}$/, "64 lower-case hexadecimal digits");
const SiteFileName = z.string().max(200).meta({ format: "site-file" });
const Target = z
  .string()
  .refine((text) => parseEgressTarget(text) !== null, "a target such as mirror.example.net:443");

const Verify = z.union([
  z.literal("none").describe("Whatever the host sends is taken"),
  z
    .strictObject({ sha256: z.union([Sha256, HttpUrl]) })
    .describe("A hash, or where a file of sha256sum lies"),
  z
    .strictObject({ minisign: MinisignKey, signature: HttpUrl.optional() })
    .describe(
      "A public key of minisign; the signature lies at the address with .minisig where none is named",
    ),
]);

const Archive = z
  .strictObject({
    format: z.enum(["gzip", "tar", "tar.gz", "zip"]),
    member: z
      .string()
      .max(500)
      .optional()
      .describe("Of an archive: hand this file over in place of the whole"),
    unpack: z.boolean().default(false).describe("Of gzip: hand over what is inside in place of the whole"),
    maxUnpacked: Size.prefault("512MiB"),
    maxEntries: z.int().min(1).max(100_000).default(10_000),
  })
  .describe("What came has to be this, whole and harmless");

const Timeouts = z.strictObject({
  connect: Duration.prefault("30s").describe("Until the answer begins"),
  idle: Duration.prefault("30s").describe("Between two pieces of it"),
  whole: Duration.prefault("15m"),
});

export const Source = z.strictObject({
  name: ResourceName,
  url: HttpUrl,
  as: z.strictObject({ type: z.enum(PUBLISHED_TYPES), name: ResourceName }),
  every: Duration.prefault("6h"),
  jitter: Duration.prefault("10m").describe("A random share of it comes on top of `every`"),
  verify: Verify,
  maxSize: Size.prefault("64MiB"),
  contentTypes: z.array(z.string().max(100).toLowerCase()).max(20).optional(),
  redirectHosts: z.array(Target).max(20).default([]).describe("Other hosts that it may be led to"),
  ca: Pem.optional().describe("Certificates (PEM) to trust in place of the usual ones"),
  pins: z.array(Pin).max(10).default([]).describe("The host's key has to be one of these"),
  archive: Archive.optional(),
  timeouts: Timeouts.prefault({}),
});
export type Source = z.infer<typeof Source>;

const Imports = z.strictObject({
  keys: z.array(MinisignKey).max(10).default([]).describe("Who may sign a bundle"),
  bundles: z
    .array(z.strictObject({ bundle: SiteFileName, signature: SiteFileName }))
    .max(20)
    .default([]),
});

export const Settings = z.strictObject({
  sources: z
    .array(Source)
    .max(64)
    .default([])
    .refine((sources) => areUnique(sources.map(({ name }) => name)), "two sources have one name")
    .refine(
      (sources) => areUnique(sources.map(({ as }) => `${as.type} ${as.name}`)),
      "two sources are handed over under one type and name",
    )
    .refine(
      (sources) => sources.every(({ url, pins }) => pins.length === 0 || url.startsWith("https:")),
      "pins: only with https",
    )
    .refine((sources) => sources.every(({ maxSize }) => maxSize <= MOST_BYTES), "maxSize: at most 64MiB"),
  imports: Imports.prefault({}).describe("Signed bundles beside the site, for a sensor without a way out"),
});
export type Settings = z.infer<typeof Settings>;

/** manifest.json of a bundle. */
export const BundleManifest = z.strictObject({
  formatVersion: z.literal(1),
  /** When the files were put together; what is older than what is there is refused. */
  created: z.iso.datetime({ offset: true }),
  files: z
    .array(
      z.strictObject({ source: ResourceName, type: DottedName, file: z.string().max(200), sha256: Sha256 }),
    )
    .min(1)
    .max(64),
});
export type BundleManifest = z.infer<typeof BundleManifest>;

function areUnique(texts: readonly string[]): boolean {
  return new Set(texts).size === texts.length;
}
