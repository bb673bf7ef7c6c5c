/**
 * One package of the catalogue, from the texts of its files. The reader of the files is the
 * caller's; that the texts agree with the schemas is decided here, once for all processes.
 */
import type { CataloguePackage, Fault } from "@bulkhead/schema";
import * as z from "zod";
import { parseManifest } from "./parse.ts";

/** image.json, as the image builder writes it; only the digest is read here. */
const ImageFile = z.looseObject({ digest: z.string().regex(/^[0-9a-f]{64}$/) });
const ConfigSchema = z.record(z.string(), z.unknown());

export interface PackageTexts {
  /** `suricata/instrument.yaml`, for messages. */
  readonly manifestFile: string;
  readonly manifest: string;
  /** JSON, or null where there is no such file. */
  readonly configSchema: string | null;
  readonly image: string;
}

export type PackageOutcome =
  | { readonly ok: true; readonly value: CataloguePackage }
  | { readonly ok: false; readonly faults: readonly Fault[] };

/** @throws ZodError or SyntaxError for a bad image.json or schema: they are made by the builder, not by hand. */
export function parsePackage(texts: PackageTexts): PackageOutcome {
  const parsed = parseManifest(texts.manifest, texts.manifestFile);
  if (!parsed.ok) return parsed;
  const manifest = parsed.value;
  const image = ImageFile.parse(JSON.parse(texts.image));
  const takesSettings = manifest.config !== undefined && texts.configSchema !== null;
  return {
    ok: true,
    value: {
      manifest,
      manifestFile: texts.manifestFile,
      manifestText: texts.manifest,
      configSchema: takesSettings ? ConfigSchema.parse(JSON.parse(texts.configSchema ?? "{}")) : null,
      digest: image.digest,
    },
  };
}
