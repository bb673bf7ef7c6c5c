/**
 * Catalogue store: the root-owned packages of this host, and what was accepted for each
 * instrument, so that a newer package that asks for more does not run by itself.
 */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { packageTexts, parsePackage } from "@bulkhead/core";
import {
  type Catalogue,
  type CataloguePackage,
  type InstallationLayout,
  Name,
  PackageTexts,
} from "@bulkhead/schema";
import * as z from "zod";
import { WardenError } from "../error.ts";
import { writeFileAtomically } from "./atomic-file.ts";
import { readIfPresent } from "./read-file.ts";

const AcceptedFile = z.record(Name, PackageTexts);

/** @throws WardenError `catalogue-bad-package` for a manifest that does not parse: the catalogue is root's own. */
export async function readCatalogue(layout: InstallationLayout): Promise<Catalogue> {
  const entries = await readdir(layout.catalogueDir, { withFileTypes: true });
  const names = entries.filter((e) => e.isDirectory() && Name.safeParse(e.name).success).map((e) => e.name);
  const packages = await Promise.all(
    names.map(async (name) => [name, packageOf(await readTexts(layout.catalogueDir, name))] as const),
  );
  return Object.fromEntries(packages);
}

/** What was accepted at the last apply, by instrument. */
export class AcceptedPackages {
  readonly #file: string;

  constructor(layout: InstallationLayout) {
    this.#file = join(layout.wardenDir, "accepted.json");
  }

  async read(): Promise<Catalogue> {
    const text = await readIfPresent(this.#file);
    if (text === null) return {};
    const texts = AcceptedFile.parse(JSON.parse(text));
    return Object.fromEntries(Object.entries(texts).map(([name, t]) => [name, packageOf(t)]));
  }

  async write(accepted: Catalogue): Promise<void> {
    const texts = Object.entries(accepted).map(([name, each]) => [name, packageTexts(each)]);
    await writeFileAtomically(this.#file, JSON.stringify(Object.fromEntries(texts)));
  }
}

async function readTexts(catalogueDir: string, name: string): Promise<PackageTexts> {
  const dir = join(catalogueDir, name);
  const manifestFile = `${name}/instrument.yaml`;
  const manifest = await readFile(join(catalogueDir, manifestFile), "utf8");
  const image = await readFile(join(dir, "image.json"), "utf8");
  return {
    manifestFile,
    manifest,
    configSchema: await readIfPresent(join(dir, "config.schema.json")),
    image,
  };
}

function packageOf(texts: PackageTexts): CataloguePackage {
  const parsed = parsePackage(texts);
  if (parsed.ok) return parsed.value;
  const [fault] = parsed.faults;
  const place = `${texts.manifestFile}:${fault?.line ?? 1}`;
  throw new WardenError("catalogue-bad-package", `${place}: ${fault?.message ?? "does not parse"}`);
}
