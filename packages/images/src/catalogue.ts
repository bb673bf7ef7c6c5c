/**
 * The root-owned catalogue of an installation: for each package its manifest, the schema of its
 * settings, its image, the record of it and its bill of materials.
 *
 * A package appears whole (a directory is swapped in) and is left alone where nothing changed.
 * Packages that are not among the sources stay: an operator may have put them there.
 */
import {
  chmod,
  copyFile,
  link,
  mkdtemp,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  writeFile,
} from "node:fs/promises";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { ensureBase, type BaseImage } from "./base-image.ts";
import { baseKey, digestOf, planBase } from "./base-plan.ts";
import type { Bootstraps } from "./bootstrap.ts";
import { bundle } from "./bundle.ts";
import type { OnProgress } from "./command.ts";
import { ImageRecord } from "./image-record.ts";
import { ensureImage, type InstrumentImage } from "./instrument-image.ts";
import { readPackageSource, type PackageSource } from "./package-source.ts";
import { makeReadableDirectory } from "./readable-directory.ts";

export interface CatalogueOptions {
  /** Holds a folder for each package, with instrument.yaml in it. */
  readonly instrumentsDir: string;
  readonly catalogueDir: string;
  readonly cacheDir: string;
  /** Only these; all folders where left out. */
  readonly packages?: readonly string[] | undefined;
  /** Builds the bases again, for security updates. */
  readonly refresh?: boolean | undefined;
  readonly bootstraps?: Bootstraps | undefined;
  readonly onProgress?: OnProgress | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface CataloguedPackage {
  readonly package: string;
  readonly digest: string;
  readonly state: "built" | "unchanged";
  readonly durationMs: number;
}

/** Brings the catalogue to what the sources say. @throws ImageFault: the first package's that failed */
export async function buildCatalogue(options: CatalogueOptions): Promise<readonly CataloguedPackage[]> {
  const names = options.packages ?? (await listPackages(options.instrumentsDir));
  await makeReadableDirectory(options.catalogueDir);
  // Packages share bases: each is made once, side by side with the others.
  const bases = new Map<string, Promise<BaseImage>>();
  const outcomes = await Promise.allSettled(
    names.map((name) => buildPackage(join(options.instrumentsDir, name), options, bases)),
  );
  return outcomes.map((outcome) => {
    if (outcome.status === "rejected") throw outcome.reason;
    return outcome.value;
  });
}

/** The record of a catalogued package; null where there is none (or an older builder's). */
export async function readImageRecord(packageDir: string): Promise<ImageRecord | null> {
  const text = await readFile(join(packageDir, "image.json"), "utf8").catch(
    (error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT") return null;
      throw error;
    },
  );
  return text === null ? null : (ImageRecord.safeParse(JSON.parse(text)).data ?? null);
}

async function buildPackage(
  packageDir: string,
  options: CatalogueOptions,
  bases: Map<string, Promise<BaseImage>>,
): Promise<CataloguedPackage> {
  const started = performance.now();
  const source = await readPackageSource(packageDir);
  const { manifest } = source;
  const onProgress =
    options.onProgress && ((said: string) => options.onProgress?.(`${manifest.name}: ${said}`));
  const main = join(packageDir, "src", "main.ts");
  const agent = existsSync(main) ? await bundle(main, { format: "cjs" }) : null;
  const plan = planBase(manifest);
  const base = bases.get(baseKey(plan)) ?? ensureBase(plan, { ...options, onProgress });
  bases.set(baseKey(plan), base);
  const image = await ensureImage({
    manifest,
    packageDir,
    base: await base,
    agent,
    cacheDir: options.cacheDir,
  });
  const sourceKey = digestOf([image.record, source.manifestText, source.schemaText]);
  const target = join(options.catalogueDir, manifest.name);
  const isThere = (await readImageRecord(target))?.sourceKey === sourceKey && (await isWhole(target));
  if (!isThere) {
    await writePackage(target, source, image, { ...image.record, sourceKey });
    onProgress?.(`in the catalogue as ${image.record.digest.slice(0, 12)}`);
  }
  return {
    package: manifest.name,
    digest: image.record.digest,
    state: isThere ? "unchanged" : "built",
    durationMs: performance.now() - started,
  };
}

const ARCHIVES = ["metadata.tar", "rootfs.tar", "sbom.json"] as const;

async function writePackage(
  target: string,
  source: PackageSource,
  image: InstrumentImage,
  record: ImageRecord,
): Promise<void> {
  await using stack = new AsyncDisposableStack();
  const work = await mkdtemp(`${target}.new-`);
  stack.defer(() => rm(work, { recursive: true, force: true }));
  const next = join(work, "next");
  await makeReadableDirectory(next);
  await writeFile(join(next, "instrument.yaml"), source.manifestText);
  if (source.schemaText !== null) {
    await writeFile(join(next, "config.schema.json"), source.schemaText);
  }
  for (const name of ARCHIVES) await linkOrCopy(join(image.dir, name), join(next, name));
  await writeFile(join(next, "image.json"), `${JSON.stringify(record, null, 1)}\n`);
  // The processes that read the catalogue are not all root.
  for (const name of await readdir(next)) await chmod(join(next, name), 0o644);
  if (existsSync(target)) await rename(target, join(work, "former"));
  await rename(next, target);
}

/** The cache may be on another file system, or be emptied by its owner; the catalogue stays whole. */
async function linkOrCopy(from: string, to: string): Promise<void> {
  await link(from, to).catch(async (error: NodeJS.ErrnoException) => {
    if (error.code !== "EXDEV" && error.code !== "EMLINK" && error.code !== "EPERM") throw error;
    await copyFile(from, to);
  });
}

async function isWhole(dir: string): Promise<boolean> {
  const record = await readImageRecord(dir);
  if (record === null) return false;
  const sizes = await Promise.all(
    [record.metadata, record.rootfs].map(async ({ file, sizeBytes }) => {
      const path = join(dir, file);
      return existsSync(path) && (await stat(path)).size === sizeBytes;
    }),
  );
  return sizes.every(Boolean) && existsSync(join(dir, "sbom.json"));
}

async function listPackages(dir: string): Promise<readonly string[]> {
  const names = await readdir(dir);
  return names.filter((name) => existsSync(join(dir, name, "instrument.yaml"))).toSorted();
}
