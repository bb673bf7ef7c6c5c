/**
 * One package of the catalogue, from the texts of its files. The reader of the files is the
 * caller's; that the texts agree with the schemas is decided here, once for all processes.
 */
import type { CataloguePackage, Fault, PackageTexts } from "@bulkhead/schema";
import * as z from "zod";
import { parseManifest } from "./parse.ts";

/** image.json, as the image builder writes it; only the digest is read here. */
const ImageFile = z.looseObject({ digest: z.string().regex(/^[0-9a-f]{64}$/) });
const ConfigSchema = z.record(z.string(), z.unknown());

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

/** The other way round: the texts that `parsePackage` reads as the same package. */
export function packageTexts(of: CataloguePackage): PackageTexts {
  return {
    manifestFile: of.manifestFile,
    manifest: of.manifestText,
    configSchema: of.configSchema === null ? null : JSON.stringify(of.configSchema),
    image: JSON.stringify({ digest: of.digest }),
  };
}
