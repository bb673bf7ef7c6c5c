/** Durable: what must be on the disk before something else is done. */
import { open, rename, writeFile } from "node:fs/promises";
import { dirname } from "node:path";

/** Replaces the file whole: after a power failure there is the former or the new one. */
export async function writeDurably(file: string, text: string): Promise<void> {
  const next = `${file}.next`;
  await writeFile(next, text, { mode: 0o600, flush: true });
  await rename(next, file);
  await flush(dirname(file));
}

/** A file's content, or a directory's names. */
export async function flush(path: string): Promise<void> {
  await using handle = await open(path, "r");
  await handle.sync();
}

export function isCode(error: unknown, ...codes: readonly string[]): boolean {
  return error instanceof Error && "code" in error && codes.includes(String(error.code));
}
