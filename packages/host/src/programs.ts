/**
 * The programs of an installation, below its root-owned /opt directory: Node, the broker, and a bundle of each process.
 *
 * Invariants: copies, never links into the checkout, which root may not own alone; each file changes whole, and only
 * if it differs. A running process keeps its old file until it is restarted.
 */
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { HOST_LAYOUT, type InstallationLayout } from "@bulkhead/schema";
import {
  buildCatalogue,
  bundle,
  type CataloguedPackage,
  ensureBroker,
  ensureNodeDisk,
  findNodeBinary,
} from "@bulkhead/images";
import { ensureAdversary } from "./adversary-program.ts";
import { ROOT_READABLE, writeAtomically } from "./atomic-file.ts";
import { type ProcessName, PROCESS_NAMES, programFile, type ServiceName } from "./service.ts";

/** The checkout that this package lies in. */
export const SOURCE_DIR = join(import.meta.dirname, "..", "..", "..");

export interface BuildOptions {
  readonly sourceDir: string;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((detail: string) => void) | undefined;
}

/** What becomes a bundle, and its entry below the checkout. The CLI runs from the checkout: it builds images. */
const bundled = {
  warden: "packages/warden/src/main.ts",
  vault: "packages/warden/src/vault-main.ts",
  sensord: "packages/sensord/src/main.ts",
  egress: "packages/egress/src/main.ts",
  demo: "packages/testkit/src/demo-main.ts",
  "verify-relay": "packages/verify/src/stand/relay-main.ts",
} as const;

/** @returns the bundles that changed. @throws ImageFault of the images package */
export async function ensureBundles(layout: InstallationLayout, options: BuildOptions): Promise<string[]> {
  const { sourceDir } = options;
  const outcomes = await Promise.all(
    Object.entries(bundled).map(async ([name, entry]) => {
      const { code } = await bundle(join(sourceDir, entry), { format: "mjs" });
      const file = `${layout.optDir}/${name}.mjs`;
      return (await writeAtomically(file, code, ROOT_READABLE)) ? [name] : [];
    }),
  );
  return [...outcomes.flat(), ...(await ensureAdversary(layout, options))];
}

/** @returns whether it had to be put there. @throws ImageFault */
export async function ensureNode(layout: InstallationLayout, options: BuildOptions): Promise<boolean> {
  const binary = findNodeBinary(join(options.sourceDir, "package.json"));
  const state = await ensureNodeDisk({
    nodeDir: layout.nodeDir,
    binary,
    signal: options.signal,
    onProgress: options.onProgress,
  });
  return state === "built";
}

/** @returns the broker's version. @throws ImageFault */
export async function ensureBrokerProgram(
  layout: InstallationLayout,
  { signal, onProgress }: BuildOptions,
): Promise<string> {
  const { version } = await ensureBroker({
    binDir: `${layout.optDir}/bin`,
    cacheDir: HOST_LAYOUT.cacheDir,
    signal,
    onProgress,
  });
  return version;
}

/** Builds what is missing of the instruments' images. @throws ImageFault */
export async function ensureCatalogue(
  layout: InstallationLayout,
  { sourceDir, signal, onProgress }: BuildOptions,
  packages?: readonly string[],
): Promise<readonly CataloguedPackage[]> {
  return await buildCatalogue({
    instrumentsDir: join(sourceDir, "instruments"),
    catalogueDir: layout.catalogueDir,
    cacheDir: HOST_LAYOUT.cacheDir,
    packages,
    signal,
    onProgress,
  });
}

/** A digest of each process's program. @throws Error `ENOENT` where one is not there */
export async function observeBuilds(
  layout: InstallationLayout,
): Promise<Readonly<Record<ProcessName, string>>> {
  const builds = await Promise.all(
    PROCESS_NAMES.map(async (name) => [name, await observeBuild(layout, name)] as const),
  );
  return Object.fromEntries(builds) as Record<ProcessName, string>;
}

/** A digest of one program. @throws Error `ENOENT` where it is not there */
export async function observeBuild(layout: InstallationLayout, name: ServiceName): Promise<string> {
  const hash = createHash("sha256");
  await pipeline(createReadStream(programFile(layout, name)), hash);
  return hash.digest("hex").slice(0, 16);
}
