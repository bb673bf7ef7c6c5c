/**
 * First stage of an image: a base with its packages, trimmed and stripped, as one archive in the
 * cache. It costs seconds and the network, and is shared by all instruments with the same plan.
 *
 * A cached base stays as it is; security updates come with `refresh`.
 */
import { readFile, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { bootstrapAlpine } from "./alpine.ts";
import { baseKey, type BasePlan } from "./base-plan.ts";
import type { Bootstraps, BootstrapOptions, BootstrappedTree } from "./bootstrap.ts";
import { ensureEntry } from "./cache-entry.ts";
import { bootstrapDebian } from "./debian.ts";
import { sha256File } from "./digest.ts";
import { ImageFault } from "./image-fault.ts";
import type { DistributionPackage } from "./inventory.ts";
import { skeleton } from "./skeleton.ts";
import { readTree, writeTar, type TarItem } from "./tar.ts";
import { isTrimmed, keptPackages } from "./trim.ts";

export interface BaseOptions extends BootstrapOptions {
  /** Builds again what is cached. */
  readonly refresh?: boolean | undefined;
  readonly bootstraps?: Bootstraps | undefined;
}

export interface BaseImage {
  readonly plan: BasePlan;
  readonly rootfsFile: string;
  /** Hex sha256 of the archive. */
  readonly sha256: string;
  readonly sizeBytes: number;
  /** What is inside, by name. */
  readonly packages: readonly DistributionPackage[];
}

/** Both bases; they differ in this step alone. */
export const BOOTSTRAPS: Bootstraps = { debian: bootstrapDebian, alpine: bootstrapAlpine };

const INIT = "usr/bin/tini";

/** @throws ImageFault image-program-missing and those of the bootstrap */
export async function ensureBase(plan: BasePlan, options: BaseOptions): Promise<BaseImage> {
  const entry = join(options.cacheDir, "images", `base-${baseKey(plan)}`);
  if (options.refresh === true) await rm(entry, { recursive: true, force: true });
  await ensureEntry(entry, async (dir, scratch) => {
    const started = performance.now();
    options.onProgress?.(`building the ${plan.base} ${plan.suite} base: ${plan.packages.join(" ")}`);
    const bootstrap = (options.bootstraps ?? BOOTSTRAPS)[plan.base];
    const tree = join(scratch, "tree");
    const unpacked = await bootstrap(plan, tree, options);
    const kept = chooseKept(plan, unpacked.packages);
    const items = await selectItems(plan, tree, unpacked, kept);
    requireProgram(items, INIT);
    for (const file of Object.values(plan.fileOnly)) requireProgram(items, file);
    const rootfs = join(dir, "rootfs.tar");
    await writeTar(items, rootfs);
    const packages = unpacked.packages.filter((each) => kept.has(each.name) || each.name in plan.fileOnly);
    const record = { sha256: await sha256File(rootfs), sizeBytes: (await stat(rootfs)).size, packages };
    await writeFile(join(dir, "base.json"), JSON.stringify(record));
    const seconds = ((performance.now() - started) / 1000).toFixed(1);
    options.onProgress?.(`built in ${seconds} s, ${(record.sizeBytes / 1e6).toFixed(0)} MB`);
  });
  // Written by the lines above, into a directory that root alone writes.
  const record = JSON.parse(await readFile(join(entry, "base.json"), "utf8")) as Pick<
    BaseImage,
    "sha256" | "sizeBytes" | "packages"
  >;
  return { ...record, plan, rootfsFile: join(entry, "rootfs.tar") };
}

function chooseKept(plan: BasePlan, packages: readonly DistributionPackage[]): ReadonlySet<string> {
  const roots = plan.packages.filter((name) => !(name in plan.fileOnly));
  if (plan.trim) {
    // A file that is taken out of a package needs that package's libraries, not the package.
    const libraries = packages.flatMap((each) => (each.name in plan.fileOnly ? each.depends : []));
    return keptPackages(packages, [...roots, ...libraries.filter((name) => NEEDED_BY_FILE.has(name))]);
  }
  return new Set(packages.map((each) => each.name).filter((name) => !(name in plan.fileOnly)));
}

/** Of util-linux's dependencies, those that setpriv is linked with. */
const NEEDED_BY_FILE: ReadonlySet<string> = new Set(["libcap-ng0", "libc6"]);

async function selectItems(
  plan: BasePlan,
  tree: string,
  unpacked: BootstrappedTree,
  kept: ReadonlySet<string>,
): Promise<Map<string, TarItem>> {
  const dropped = unpacked.packages.map((each) => each.name).filter((name) => !kept.has(name));
  const owned = await unpacked.filesOf(dropped);
  const files = new Set([...owned.values()].flat().map(mergeUsr));
  for (const file of Object.values(plan.fileOnly)) files.delete(file);
  const keep = (path: string): boolean => !isTrimmed(path, plan.trim) && !files.has(path);
  const items = await readTree(tree, keep);
  if (plan.trim) dropEmptyDirectories(items);
  const present = new Set([...kept, ...Object.keys(plan.fileOnly)]);
  for (const [path, content] of unpacked.recordsOf(present)) items.set(path, { kind: "file", content });
  for (const [path, item] of skeleton(plan)) items.set(path, item);
  return items;
}

/** What a package calls `/lib/x` lies in `/usr/lib/x` where the distribution merged them. */
function mergeUsr(path: string): string {
  return /^(?:bin|sbin|lib|lib64)\//.test(path) ? `usr/${path}` : path;
}

function dropEmptyDirectories(items: Map<string, TarItem>): void {
  const parents = new Set<string>();
  // Children come after their parents in the walk, so they are met first from the end.
  for (const [path, item] of [...items].toReversed()) {
    const slash = path.lastIndexOf("/");
    const isEmpty = item.kind === "directory" && !parents.has(path);
    if (isEmpty && slash > 0 && /^(?:usr|etc)\//.test(path)) items.delete(path);
    else if (slash > 0) parents.add(path.slice(0, slash));
  }
}

function requireProgram(items: ReadonlyMap<string, TarItem>, path: string): void {
  if (items.has(path)) return;
  throw new ImageFault("image-program-missing", `the base has no /${path}`, {
    accepted: "a suite whose packages bring it",
  });
}
