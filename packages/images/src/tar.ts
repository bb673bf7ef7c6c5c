/**
 * Writes tar archives that are the same bytes for the same tree: sorted names, one fixed time,
 * root as owner, permission bits without setuid and setgid, no extended attributes, no devices.
 *
 * So whatever lay on disk, what comes out of here holds nothing that admission refuses by kind.
 */
import { createWriteStream } from "node:fs";
import { lstat, readdir, readFile, readlink } from "node:fs/promises";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { pack, type Header, type Pack } from "tar-stream";
import { readTar } from "./tar-reader.ts";

/** All times in images; LXD takes an image without one for broken. 2024-01-01T00:00:00Z. */
export const FIXED_TIME_S = 1_704_067_200;

export type TarItem =
  | { readonly kind: "directory"; readonly mode?: number }
  | { readonly kind: "file"; readonly mode?: number; readonly content: Buffer | string }
  | { readonly kind: "symlink"; readonly target: string }
  /** Content is read when it is written; a second name of the same file becomes a hard link. */
  | { readonly kind: "on-disk"; readonly mode: number; readonly file: string; readonly inode: string };

/** Relative path without slashes at its ends → item. Missing parent directories are added. */
export type TarItems = ReadonlyMap<string, TarItem>;

/** Walks a tree; what `keep` turns down is left out with all below it. Sockets, pipes and devices never come along. */
export async function readTree(root: string, keep: (path: string) => boolean): Promise<Map<string, TarItem>> {
  const items = new Map<string, TarItem>();
  const walk = async (prefix: string): Promise<void> => {
    for (const name of await readdir(join(root, prefix))) {
      const path = prefix === "" ? name : `${prefix}/${name}`;
      if (!keep(path)) continue;
      const file = join(root, path);
      const found = await lstat(file);
      if (found.isDirectory()) {
        items.set(path, { kind: "directory", mode: found.mode & 0o1777 });
        await walk(path);
      } else if (found.isSymbolicLink()) {
        items.set(path, { kind: "symlink", target: await readlink(file) });
      } else if (found.isFile()) {
        const inode = found.nlink > 1 ? `${found.dev}:${found.ino}` : "";
        items.set(path, { kind: "on-disk", mode: found.mode & 0o777, file, inode });
      }
    }
  };
  await walk("");
  return items;
}

/** Writes items as a whole archive to a file. */
export async function writeTar(items: TarItems, file: string): Promise<void> {
  const archive = pack();
  await Promise.all([
    fill(archive, items, new Set()),
    pipeline(archive as AsyncIterable<Buffer>, createWriteStream(file)),
  ]);
}

/**
 * Items as a whole archive in memory; for small ones.
 * @param present directories that need no entry, because the archive goes behind one that has them
 */
export async function renderTar(items: TarItems, present: ReadonlySet<string> = new Set()): Promise<Buffer> {
  const archive = pack();
  const filled = fill(archive, items, present);
  const chunks: Buffer[] = [];
  for await (const chunk of archive) chunks.push(chunk as Buffer);
  await filled;
  return Buffer.concat(chunks);
}

/** Paths of all entries that are no directories, relative, without a leading `./`. */
export async function listTar(archive: Buffer): Promise<readonly string[]> {
  const paths: string[] = [];
  const read = (offset: number, length: number): Buffer => archive.subarray(offset, offset + length);
  for await (const entry of readTar(read)) {
    if (entry.kind !== "directory") paths.push(entry.path.replace(/^(?:\.?\/)+/, ""));
  }
  return paths;
}

async function fill(archive: Pack, items: TarItems, present: ReadonlySet<string>): Promise<void> {
  const nameOfInode = new Map<string, string>();
  for (const [path, item] of sorted(items)) {
    if (present.has(path)) continue;
    const name = item.kind === "directory" ? `${path}/` : path;
    const header = { name, uid: 0, gid: 0, mtime: new Date(FIXED_TIME_S * 1000) };
    switch (item.kind) {
      case "directory":
        await add(archive, { ...header, type: "directory", mode: item.mode ?? 0o755 });
        break;
      case "symlink":
        await add(archive, { ...header, type: "symlink", mode: 0o777, linkname: item.target });
        break;
      case "file":
        await add(archive, { ...header, type: "file", mode: item.mode ?? 0o644 }, item.content);
        break;
      case "on-disk": {
        const first = item.inode === "" ? undefined : nameOfInode.get(item.inode);
        if (first !== undefined) {
          await add(archive, { ...header, type: "link", mode: item.mode, linkname: first });
          break;
        }
        if (item.inode !== "") nameOfInode.set(item.inode, path);
        const content = await readFile(item.file);
        await add(archive, { ...header, type: "file", mode: item.mode }, content);
      }
    }
  }
  archive.finalize();
}

/** By code unit, with every parent directory present and before what it holds. */
function sorted(items: TarItems): readonly (readonly [string, TarItem])[] {
  const all = new Map(items);
  for (const path of items.keys()) {
    for (let at = path.lastIndexOf("/"); at > 0; at = path.lastIndexOf("/", at - 1)) {
      const parent = path.slice(0, at);
      if (!all.has(parent)) all.set(parent, { kind: "directory" });
    }
  }
  return [...all].toSorted(([a], [b]) => (a < b ? -1 : 1));
}

async function add(
  archive: Pack,
  header: Partial<Header> & Pick<Header, "name">,
  content?: Buffer | string,
): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const done = (error?: Error | null): void => (error ? reject(error) : resolve());
  if (content === undefined) archive.entry(header, done);
  else archive.entry(header, content, done);
  return promise;
}
