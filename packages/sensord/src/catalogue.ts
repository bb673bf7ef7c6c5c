/**
 * Catalogue: reads the packages that the root-owned catalogue directory offers.
 *
 * Invariants: a package that cannot be read or does not parse is left out and reported; the
 * others stand. It reads nothing but three small files of each package: manifest, config schema
 * and the image's description. What they mean is decided in the core.
 */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { parsePackage } from "@bulkhead/core";
import { type Catalogue, type CataloguePackage, Name } from "@bulkhead/schema";
import { SensordError } from "./error.ts";

export interface CatalogueReading {
  readonly catalogue: Catalogue;
  readonly problems: readonly {
    readonly target: string;
    readonly code: string;
    readonly message: string;
  }[];
}

/** Throws `catalogue-unreadable` when the directory itself cannot be read. */
export async function readCatalogue(directory: string): Promise<CatalogueReading> {
  const entries = await readdir(directory, { withFileTypes: true }).catch((cause: unknown) => {
    throw new SensordError("catalogue-unreadable", `the catalogue ${directory} cannot be read`, {
      cause,
    });
  });
  const names = entries
    .filter((entry) => entry.isDirectory() && Name.safeParse(entry.name).success)
    .map((entry) => entry.name)
    .toSorted();
  const packages = await Promise.all(
    names.map(async (name) => ({ name, outcome: await readPackage(join(directory, name), name) })),
  );
  return {
    catalogue: Object.fromEntries(
      packages.flatMap(({ name, outcome }) => (outcome.ok ? [[name, outcome.value]] : [])),
    ),
    problems: packages.flatMap(({ name, outcome }) =>
      outcome.ok ? [] : [{ target: name, code: "package-unreadable", message: outcome.message }],
    ),
  };
}

type Outcome =
  | { readonly ok: true; readonly value: CataloguePackage }
  | { readonly ok: false; readonly message: string };

async function readPackage(directory: string, name: string): Promise<Outcome> {
  try {
    const outcome = parsePackage({
      manifestFile: `${name}/instrument.yaml`,
      manifest: await readFile(join(directory, "instrument.yaml"), "utf8"),
      configSchema: await readOptional(join(directory, "config.schema.json")),
      image: await readFile(join(directory, "image.json"), "utf8"),
    });
    if (!outcome.ok) {
      const first = outcome.faults[0];
      const place = `${first?.file ?? name}:${first?.line ?? 1}`;
      return { ok: false, message: `${place}: ${first?.message ?? "does not parse"}` };
    }
    return outcome.value.manifest.name === name
      ? outcome
      : { ok: false, message: `its manifest names itself ${outcome.value.manifest.name}` };
  } catch (error) {
    return { ok: false, message: error instanceof Error ? error.message : "it cannot be read" };
  }
}

async function readOptional(file: string): Promise<string | null> {
  try {
    return await readFile(file, "utf8");
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return null;
    throw error;
  }
}
