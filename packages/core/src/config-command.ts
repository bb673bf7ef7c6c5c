/**
 * The configuration that the platform sends to an instrument: settings, retention period and the
 * files that lie in its inbox; the version stands for all of them.
 */
import type { ConfigCommand, SiteFile } from "@bulkhead/schema";
import { digestOf } from "./canonical.ts";
import { filesOf } from "./desired.ts";
import type { ResolvedInstrument } from "./resolve.ts";

export function configCommandOf(
  instrument: ResolvedInstrument,
  siteFiles: readonly SiteFile[],
): ConfigCommand {
  const delivered = filesOf(instrument, siteFiles);
  const config = instrument.site.config ?? {};
  const retentionMs = retentionOf(instrument);
  const files =
    delivered === null ? null : { version: delivered.version, names: delivered.files.map((f) => f.name) };
  return {
    version: digestOf({ config, retentionMs, files }).slice(0, 16),
    config,
    retentionMs,
    files,
  };
}

/** The site's period, else the longest that the manifest has as its default; null where there is neither. */
export function retentionOf({ site, package: { manifest } }: ResolvedInstrument): number | null {
  if (site.retention !== undefined) return site.retention;
  const defaults = manifest.needs.flatMap((need) =>
    need.kind === "storage.persistent" && need.retention !== undefined ? [need.retention.default] : [],
  );
  return defaults.length === 0 ? null : Math.max(...defaults);
}
