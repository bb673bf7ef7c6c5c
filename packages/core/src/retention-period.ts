/**
 * Retention period: how long what an instrument keeps, or what the platform keeps of it, may stay,
 * and which line says so. Pure; `check-retention.ts` holds it within the sensor's policy.
 */
import type { RetentionPolicy } from "@bulkhead/schema";
import { type LocatedDocument, parseLocatedDocument } from "./located-document.ts";
import { renderPlace } from "./needs.ts";
import type { ResolvedInstrument } from "./resolve.ts";

/** Where no line says anything. */
export const DEFAULT_PLATFORM_PERIOD_MS = 90 * 86_400_000;

export interface RetentionPeriod {
  readonly periodMs: number;
  /** `site.yaml:12`, `suricata/instrument.yaml:9` or `platform default`. */
  readonly by: string;
}

/** The site's period, else the longest that the manifest has as its default; null where there is neither. */
export function retentionOf({
  site,
  package: { manifest },
}: Pick<ResolvedInstrument, "site" | "package">): number | null {
  if (site.retention !== undefined) return site.retention;
  const defaults = manifest.needs.flatMap((need) =>
    need.kind === "storage.persistent" && need.retention !== undefined ? [need.retention.default] : [],
  );
  return defaults.length === 0 ? null : Math.max(...defaults);
}

/** Of everything that an instrument's records and events are; the platform's where it has none of its own. */
export function periodOf(
  instrument: ResolvedInstrument,
  policy: RetentionPolicy,
  document: LocatedDocument,
): RetentionPeriod {
  const periodMs = retentionOf(instrument);
  if (periodMs === null) return platformPeriod(policy, document);
  if (instrument.site.retention !== undefined) {
    return { periodMs, by: renderPlace(document, ["instruments", instrument.name, "retention"]) };
  }
  return { periodMs, by: manifestPlace(instrument, periodMs) };
}

/** The period that `periodOf` says, without its line. */
export function periodMsOf(
  instrument: Pick<ResolvedInstrument, "site" | "package">,
  policy: RetentionPolicy,
): number {
  return retentionOf(instrument) ?? platformPeriodMs(policy);
}

function platformPeriodMs({ platform, minimum = 0, maximum = Infinity }: RetentionPolicy): number {
  return platform ?? Math.min(maximum, Math.max(minimum, DEFAULT_PLATFORM_PERIOD_MS));
}

/** Of what the platform keeps itself: its own events, log lines, refusals. */
export function platformPeriod(policy: RetentionPolicy, document: LocatedDocument): RetentionPeriod {
  const periodMs = platformPeriodMs(policy);
  const line = (["platform", "maximum", "minimum"] as const).find((key) => policy[key] === periodMs);
  const byDefault = policy.platform === undefined && periodMs === DEFAULT_PLATFORM_PERIOD_MS;
  if (line === undefined || byDefault) return { periodMs, by: "platform default" };
  return { periodMs, by: renderPlace(document, ["policy", "retention", line]) };
}

function manifestPlace({ package: offered }: ResolvedInstrument, periodMs: number): string {
  const { manifest, manifestText, manifestFile } = offered;
  const parsed = parseLocatedDocument(manifestText, manifestFile);
  const index = manifest.needs.findIndex(
    (need) => need.kind === "storage.persistent" && need.retention?.default === periodMs,
  );
  if (!parsed.ok || index < 0) return manifestFile;
  return renderPlace(parsed.document, ["needs", index, "retention"]);
}
