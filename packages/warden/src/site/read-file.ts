/** Reading files that may not be there. */
import { readFile } from "node:fs/promises";

/** The file's text, or null where there is none; every other failure is thrown. */
export async function readIfPresent(path: string): Promise<string | null> {
  return readFile(path, "utf8").catch(nullIfMissing);
}

/** For `.catch`: null for ENOENT, else the error again. */
export function nullIfMissing(error: unknown): null {
  if (isErrno(error, "ENOENT")) return null;
  throw error;
}

/** Whether a system call failed with one of these (errno(3)). */
export function isErrno(error: unknown, ...codes: readonly string[]): boolean {
  return error instanceof Error && "code" in error && codes.includes(String(error.code));
}
