/** Reading files that may not be there. */
import { readFile } from "node:fs/promises";

/** The file's text, or null where there is none; every other failure is thrown. */
export async function readIfPresent(path: string): Promise<string | null> {
  return readFile(path, "utf8").catch(nullIfMissing);
}

/** For `.catch`: null for ENOENT, else the error again. */
export function nullIfMissing(error: unknown): null {
  if (error instanceof Error && "code" in error && error.code === "ENOENT") return null;
  throw error;
}
