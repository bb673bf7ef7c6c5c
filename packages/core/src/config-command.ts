/**
 * The configuration that the platform sends to an instrument: settings, retention period and the
 * files that lie in its inbox; the version stands for all of them.
 */
import type { ConfigCommand, SiteFile } from "@bulkhead/schema";
import { digestOf } from "./canonical.ts";
import { filesOf } from "./desired.ts";
import type { ResolvedInstrument } from "./resolve.ts";
import { retentionOf } from "./retention-period.ts";

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
