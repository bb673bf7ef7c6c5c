/**
 * Site store: the accepted site and the files beside it, root-owned, one directory a version, and
 * a symlink that names the one in force. Accepting is one rename: a crash leaves the former.
 *
 * What root staged is taken only when it is root's and nobody else can write it.
 */
import { createHash } from "node:crypto";
import { cp, lstat, mkdir, readdir, readFile, readlink, rename, rm, symlink } from "node:fs/promises";
import { basename, join, relative } from "node:path";
import type { InstallationLayout, SiteFile } from "@bulkhead/schema";
import { WardenError } from "../error.ts";
import { nullIfMissing } from "./read-file.ts";

const SITE_NAME = "site.yaml";
const VERSIONS_KEPT = 10;
const LARGEST_FILE_BYTES = 64 * 1024 * 1024;

export interface StoredSite {
  /** 16 hex digits over text and files. */
  readonly version: string;
  readonly text: string;
  readonly files: readonly SiteFile[];
  /** Where the files lie. */
  readonly dir: string;
}

export class SiteStore {
  readonly #layout: InstallationLayout;

  constructor(layout: InstallationLayout) {
    this.#layout = layout;
  }

  /** The site in force; null before the first apply. */
  async accepted(): Promise<StoredSite | null> {
    const target = await readlink(this.#layout.siteLink).catch(nullIfMissing);
    return target === null ? null : readSite(join(this.#layout.siteVersionsDir, basename(target)));
  }

  /**
   * Copies what root staged into a version of its own, not in force yet.
   *
   * @throws WardenError `site-not-staged`, `site-not-root-owned`, `site-file-too-large`
   */
  async takeStaged(): Promise<StoredSite> {
    const staged = this.#layout.siteStagedDir;
    const stat = await lstat(staged).catch(nullIfMissing);
    if (stat === null) throw new WardenError("site-not-staged", `nothing is staged in ${staged}`);
    await requireRootOwned(staged);
    const site = await readSite(staged);
    const dir = join(this.#layout.siteVersionsDir, site.version);
    const beside = `${dir}.new`;
    await rm(beside, { recursive: true, force: true });
    await mkdir(this.#layout.siteVersionsDir, { recursive: true, mode: 0o755 });
    await cp(staged, beside, { recursive: true, verbatimSymlinks: true });
    await rm(dir, { recursive: true, force: true });
    await rename(beside, dir);
    return { ...site, dir };
  }

  /** Puts a version in force and forgets the oldest. */
  async accept(site: StoredSite): Promise<void> {
    const beside = `${this.#layout.siteLink}.new`;
    await rm(beside, { force: true });
    await symlink(join("sites", site.version), beside);
    await rename(beside, this.#layout.siteLink);
    await this.#forgetOld(site.version);
  }

  /** Removes a version that was not accepted, unless it is the one in force. */
  async discard(site: StoredSite): Promise<void> {
    const inForce = await this.accepted();
    if (inForce?.version !== site.version) await rm(site.dir, { recursive: true, force: true });
  }

  async #forgetOld(keep: string): Promise<void> {
    const names = await readdir(this.#layout.siteVersionsDir);
    const aged = await Promise.all(
      names.map(async (name) => ({
        name,
        at: (await lstat(join(this.#layout.siteVersionsDir, name))).mtimeMs,
      })),
    );
    const old = aged
      .filter((v) => v.name !== keep)
      .toSorted((a, b) => b.at - a.at)
      .slice(VERSIONS_KEPT - 1);
    for (const { name } of old)
      await rm(join(this.#layout.siteVersionsDir, name), { recursive: true, force: true });
  }
}

async function readSite(dir: string): Promise<StoredSite> {
  const text = await readFile(join(dir, SITE_NAME), "utf8");
  const paths = await readdir(dir, { recursive: true, withFileTypes: true });
  const files: SiteFile[] = [];
  for (const entry of paths.filter((e) => e.isFile())) {
    const path = join(entry.parentPath, entry.name);
    const name = relative(dir, path);
    if (name === SITE_NAME) continue;
    const stat = await lstat(path);
    if (stat.size > LARGEST_FILE_BYTES) {
      throw new WardenError("site-file-too-large", `${name} is larger than ${LARGEST_FILE_BYTES} bytes`);
    }
    files.push({
      name,
      sha256: createHash("sha256")
        .update(await readFile(path))
        .digest("hex"),
    });
  }
  const sorted = files.toSorted((a, b) => (a.name < b.name ? -1 : 1));
  const version = createHash("sha256")
    .update(JSON.stringify([text, sorted]))
    .digest("hex")
    .slice(0, 16);
  return { version, text, files: sorted, dir };
}

async function requireRootOwned(dir: string): Promise<void> {
  const entries = await readdir(dir, { recursive: true, withFileTypes: true });
  const paths = [dir, ...entries.map((e) => join(e.parentPath, e.name))];
  for (const path of paths) {
    const stat = await lstat(path);
    const writable = (stat.mode & 0o022) !== 0;
    if (stat.uid !== 0 || writable || !(stat.isFile() || stat.isDirectory())) {
      throw new WardenError(
        "site-not-root-owned",
        `${path} is not a file or folder that root alone can write`,
      );
    }
  }
}
