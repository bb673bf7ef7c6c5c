/**
 * Files and directories that the platform owns: written whole or not at all, with an owner and a mode.
 *
 * Invariants: a reader sees the old or the new content, never a part; nothing is written where the content, owner and
 * mode are right already, so a second run changes no file; a symlink in the place of a directory is refused.
 */
import { randomBytes } from "node:crypto";
import { chmod, chown, lstat, mkdir, open, readFile, rename, rm } from "node:fs/promises";
import { HostError, systemErrorCode } from "./error.ts";

export interface Ownership {
  readonly uid: number;
  readonly gid: number;
  /** Permission bits, such as 0o750. */
  readonly mode: number;
}

export const ROOT_READABLE: Ownership = { uid: 0, gid: 0, mode: 0o644 };

/** Writes `content` to `path`. @returns whether anything had to be changed */
export async function writeAtomically(
  path: string,
  content: string | Uint8Array,
  owner: Ownership = ROOT_READABLE,
): Promise<boolean> {
  const wanted = Buffer.from(content);
  if (await isAsWanted(path, wanted, owner)) return false;
  const temporary = `${path}.${randomBytes(6).toString("hex")}.new`;
  try {
    const file = await open(temporary, "wx", 0o600);
    try {
      await file.writeFile(wanted);
      await file.chown(owner.uid, owner.gid);
      await file.chmod(owner.mode);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
  return true;
}

/**
 * Makes `path` a directory with this owner and mode; its parent must exist.
 * @returns whether anything had to be changed
 * @throws HostError `host-directory-foreign` if something else is in its place
 */
export async function ensureDirectory(path: string, owner: Ownership): Promise<boolean> {
  let made = true;
  try {
    await mkdir(path, { mode: 0o700 });
  } catch (error) {
    if (systemErrorCode(error) !== "EEXIST") throw error;
    made = false;
  }
  const found = await lstat(path);
  if (!found.isDirectory()) {
    throw new HostError("host-directory-foreign", `${path} is there and is no directory`, {
      advice: `look at ${path}, which does not belong to Bulkhead, and move it away`,
    });
  }
  const moved = found.uid !== owner.uid || found.gid !== owner.gid;
  if (moved) await chown(path, owner.uid, owner.gid);
  // chown may clear bits, so the mode comes last.
  const changed = moved || (found.mode & 0o7777) !== owner.mode;
  if (changed) await chmod(path, owner.mode);
  return made || changed;
}

/** The file's text; undefined if there is none. */
export async function readTextFile(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if (systemErrorCode(error) === "ENOENT") return undefined;
    throw error;
  }
}

async function isAsWanted(path: string, wanted: Buffer, owner: Ownership): Promise<boolean> {
  try {
    const found = await lstat(path);
    if (!found.isFile() || found.size !== wanted.length) return false;
    if (found.uid !== owner.uid || found.gid !== owner.gid) return false;
    return (found.mode & 0o7777) === owner.mode && wanted.equals(await readFile(path));
  } catch (error) {
    if (systemErrorCode(error) === "ENOENT") return false;
    throw error;
  }
}
