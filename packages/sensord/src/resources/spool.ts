/**
 * Spool: the files of resources: what comes in, what is kept of each publisher, and each receiver's copies.
 *
 * Invariants: a file gets a name that others see only when it is whole and flushed; each receiver has
 * copies of its own, since two who see one inode can talk to one another by its locks. Paths are made
 * of validated names alone, and no instrument can write to any of them.
 */
import { randomBytes } from "node:crypto";
import {
  chmod,
  copyFile,
  type FileHandle,
  mkdir,
  open,
  readdir,
  rename,
  rm,
  rmdir,
  statfs,
} from "node:fs/promises";
import { dirname, join } from "node:path";
import type { Name } from "@bulkhead/schema";
import { flush, isCode } from "./durable.ts";
import { pathBelow, type ResourceKey } from "./resource-key.ts";

export interface SpoolPlaces {
  /** sensord's own. */
  readonly dir: string;
  /** Holds a directory for each receiver, which warden makes and its container sees. */
  readonly receiversDir: string;
}

/** Of a receiver's directory: others read it, and nobody writes. */
const SEEN_DIR = 0o755;
const SEEN_FILE = 0o444;

export class Spool {
  readonly #places: SpoolPlaces;

  private constructor(places: SpoolPlaces) {
    this.#places = places;
  }

  /** What an earlier process left half done is removed. */
  static async open(places: SpoolPlaces): Promise<Spool> {
    const spool = new Spool(places);
    await rm(spool.#incoming(), { recursive: true, force: true });
    await mkdir(spool.#incoming(), { recursive: true, mode: 0o700 });
    await mkdir(spool.#kept(), { recursive: true, mode: 0o700 });
    return spool;
  }

  /** Of the whole volume. */
  async freeBytes(): Promise<number> {
    const { bavail, bsize } = await statfs(this.#places.dir);
    return bavail * bsize;
  }

  begin(id: string): Promise<FileHandle> {
    return open(join(this.#incoming(), id), "wx", 0o600);
  }

  async discard(id: string): Promise<void> {
    await rm(join(this.#incoming(), id), { force: true });
  }

  /** What came in whole, and was flushed, becomes a publisher's version. */
  async keep(id: string, key: ResourceKey, version: string): Promise<void> {
    const path = this.#keptPath(key, version);
    await mkdir(dirname(path), { recursive: true, mode: 0o700 });
    await rename(join(this.#incoming(), id), path);
    await flush(dirname(path));
  }

  /**
   * Copies a kept version to a receiver; `absent`: it has no directory, since its container was never made.
   * @throws what the file system says, for want of space above all
   */
  async place(to: Name, key: ResourceKey, version: string): Promise<"placed" | "absent"> {
    const path = this.#placedPath(to, key, version);
    const id = `${to}-${randomBytes(8).toString("hex")}`;
    const aside = join(this.#incoming(), id);
    try {
      await copyFile(this.#keptPath(key, version), aside);
      await chmod(aside, SEEN_FILE);
      await flush(aside);
      await this.#makeSeenDirs(to, key);
      await rename(aside, path);
      await flush(dirname(path));
      return "placed";
    } catch (error) {
      await this.discard(id);
      if (isCode(error, "ENOENT") && !(await isThere(join(this.#places.receiversDir, to)))) return "absent";
      throw error;
    }
  }

  async removeKept(key: ResourceKey, version: string): Promise<void> {
    await rm(this.#keptPath(key, version), { force: true });
  }

  async removePlaced(to: Name, key: ResourceKey, version: string): Promise<void> {
    await rm(this.#placedPath(to, key, version), { force: true });
  }

  /** Removes every file that is none of these, and the directories that are empty then. */
  async sweep(wanted: {
    readonly kept: readonly (readonly [ResourceKey, string])[];
    readonly placed: readonly (readonly [Name, ResourceKey, string])[];
  }): Promise<number> {
    const files = new Set([
      ...wanted.kept.map(([key, version]) => this.#keptPath(key, version)),
      ...wanted.placed.map(([to, key, version]) => this.#placedPath(to, key, version)),
    ]);
    let removed = await sweepTree(this.#kept(), files);
    for (const to of await namesIn(this.#places.receiversDir)) {
      removed += await sweepTree(join(this.#places.receiversDir, to), files);
    }
    return removed;
  }

  async #makeSeenDirs(to: Name, { from, type, name }: ResourceKey): Promise<void> {
    let dir = join(this.#places.receiversDir, to);
    for (const part of [from, type, name]) {
      dir = join(dir, part);
      await mkdir(dir).catch((error: unknown) => {
        if (!isCode(error, "EEXIST")) throw error;
      });
      await chmod(dir, SEEN_DIR); // whatever the process's mask is
      await flush(dirname(dir));
    }
  }

  #incoming(): string {
    return join(this.#places.dir, "incoming");
  }

  #kept(): string {
    return join(this.#places.dir, "kept");
  }

  #keptPath({ from, type, name }: ResourceKey, version: string): string {
    return join(this.#kept(), from, type, name, version);
  }

  #placedPath(to: Name, key: ResourceKey, version: string): string {
    return join(this.#places.receiversDir, to, pathBelow(key, version));
  }
}

async function sweepTree(top: string, wanted: ReadonlySet<string>): Promise<number> {
  let removed = 0;
  const entries = await readdir(top, { recursive: true, withFileTypes: true });
  const paths = entries.map((entry) => ({ path: join(entry.parentPath, entry.name), entry }));
  for (const { path, entry } of paths) {
    if (entry.isDirectory() || wanted.has(path)) continue;
    await rm(path, { force: true });
    removed += 1;
  }
  // The deepest first.
  for (const { path, entry } of paths.toSorted((a, b) => b.path.length - a.path.length)) {
    if (!entry.isDirectory()) continue;
    await rmdir(path).catch((error: unknown) => {
      if (!isCode(error, "ENOTEMPTY", "EEXIST")) throw error;
    });
  }
  return removed;
}

async function namesIn(dir: string): Promise<readonly string[]> {
  try {
    return await readdir(dir);
  } catch (error) {
    if (isCode(error, "ENOENT")) return [];
    throw error;
  }
}

async function isThere(dir: string): Promise<boolean> {
  try {
    await readdir(dir);
    return true;
  } catch (error) {
    if (isCode(error, "ENOENT")) return false;
    throw error;
  }
}
