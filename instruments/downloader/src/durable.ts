/**
 * Durable files: what is there is the old or the new, whole, whenever the process or the machine ends.
 *
 * A new content is written beside, forced to the disk, renamed, and the name is forced to the disk too.
 */
import { createReadStream } from "node:fs";
import { open, rename } from "node:fs/promises";
import { dirname } from "node:path";
import { createHash } from "node:crypto";

/** Called before each step that changes something on the disk; tests end the process there. */
export type BeforeStep = (step: string) => void;

/** Puts a file, already written, into its place. Both lie on one file system. */
export async function settle(from: string, to: string, beforeStep: BeforeStep): Promise<void> {
  beforeStep(`sync ${to}`);
  await syncPath(from);
  beforeStep(`rename ${to}`);
  await rename(from, to);
  beforeStep(`sync the directory of ${to}`);
  await syncPath(dirname(to));
}

export async function syncPath(path: string): Promise<void> {
  await using file = await open(path, "r");
  await file.sync();
}

export interface FileDigests {
  readonly sizeBytes: number;
  /** In hex. */
  readonly sha256: string;
  readonly blake2b512: Buffer;
}

export async function digestFile(path: string): Promise<FileDigests> {
  const sha256 = createHash("sha256");
  const blake2b512 = createHash("blake2b512");
  let sizeBytes = 0;
  for await (const chunk of createReadStream(path)) {
    const bytes = chunk as Buffer; // no encoding was set
    sizeBytes += bytes.length;
    sha256.update(bytes);
    blake2b512.update(bytes);
  }
  return { sizeBytes, sha256: sha256.digest("hex"), blake2b512: blake2b512.digest() };
}
