/**
 * A package as its author wrote it: instrument.yaml and the JSON Schema of its settings, read and
 * checked as far as an image needs. The text itself goes into the catalogue unchanged.
 */
import { readFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { Manifest } from "@bulkhead/schema";
import * as z from "zod";
import { parse } from "yaml";
import { ImageFault } from "./image-fault.ts";

export interface PackageSource {
  readonly manifest: Manifest;
  readonly manifestText: string;
  /** Null where the instrument takes no settings. */
  readonly schemaText: string | null;
}

/** @throws ImageFault image-manifest, image-config-schema */
export async function readPackageSource(packageDir: string): Promise<PackageSource> {
  const file = join(packageDir, "instrument.yaml");
  const manifestText = await readFile(file, "utf8").catch((cause: Error) => {
    throw new ImageFault("image-manifest", `${file} cannot be read`, {
      accepted: "a package's folder with instrument.yaml in it",
      cause,
    });
  });
  const manifest = parseManifest(file, manifestText);
  if (manifest.name !== basename(packageDir)) {
    throw new ImageFault("image-manifest", `${file}: the name is ${manifest.name}`, {
      accepted: `the folder's name, ${basename(packageDir)}`,
    });
  }
  const schemaText =
    manifest.config === undefined ? null : await readSchema(join(packageDir, manifest.config));
  return { manifest, manifestText, schemaText };
}

function parseManifest(file: string, text: string): Manifest {
  let document: unknown;
  try {
    document = parse(text);
  } catch (cause) {
    throw new ImageFault("image-manifest", `${file} is no YAML: ${String(cause)}`, { cause });
  }
  const parsed = Manifest.safeParse(document);
  if (parsed.success) return parsed.data;
  throw new ImageFault("image-manifest", `${file}:\n${z.prettifyError(parsed.error)}`, {
    cause: parsed.error,
  });
}

async function readSchema(file: string): Promise<string> {
  try {
    const text = await readFile(file, "utf8");
    JSON.parse(text);
    return text;
  } catch (cause) {
    throw new ImageFault("image-config-schema", `${file} is no JSON document: ${String(cause)}`, {
      accepted: "a JSON Schema (draft 2020-12)",
      cause,
    });
  }
}
