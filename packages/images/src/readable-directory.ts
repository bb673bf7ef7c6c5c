/**
 * Directories that others than root have to get through (apt's own user, sensord, a container's
 * uid), whatever the umask of whoever started the build.
 */
import { chmod, mkdir } from "node:fs/promises";
import { dirname } from "node:path";

/** Makes a directory and its parents, 0755 each; what is there already keeps its mode. */
export async function makeReadableDirectory(path: string): Promise<void> {
  const first = await mkdir(path, { recursive: true });
  if (first === undefined) return;
  for (let made = path; made.length >= first.length; made = dirname(made)) await chmod(made, 0o755);
}
