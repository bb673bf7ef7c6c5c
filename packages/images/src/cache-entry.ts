/**
 * An entry of the content-addressed cache: a directory that appears whole or not at all.
 *
 * Two builders of the same entry both succeed: the later one's work is thrown away, since the
 * address says that it is the same. Entries are never changed once they are there.
 */
import { chmod, mkdir, mkdtemp, rename, rm, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { makeReadableDirectory } from "./readable-directory.ts";

/** Makes the entry by `build` (in a directory beside it) unless it is there; says whether it was built. */
export async function ensureEntry(
  entry: string,
  build: (dir: string, scratch: string) => Promise<void>,
): Promise<"built" | "present"> {
  if (await isDirectory(entry)) return "present";
  await makeReadableDirectory(dirname(entry));
  await using stack = new AsyncDisposableStack();
  const work = await mkdtemp(join(dirname(entry), `.${basename(entry).slice(0, 24)}-`));
  stack.defer(() => rm(work, { recursive: true, force: true }));
  // Apt fetches as a user of its own, who has to get through here.
  await chmod(work, 0o755);
  const dir = join(work, "entry");
  const scratch = join(work, "scratch");
  await mkdir(dir);
  await mkdir(scratch);
  await build(dir, scratch);
  try {
    await rename(dir, entry);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code !== "ENOTEMPTY" && code !== "EEXIST") throw error;
    return "present";
  }
  return "built";
}

export async function isDirectory(path: string): Promise<boolean> {
  return stat(path).then(
    (found) => found.isDirectory(),
    (error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT") return false;
      throw error;
    },
  );
}
