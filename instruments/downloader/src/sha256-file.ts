/** A file as `sha256sum` writes it (also with --tag, and a bare hash): the hash of one name. Pure. */

const PLAIN = /^\\?([0-9a-fA-F]{64})(?: [ *](.+))?$/;
const TAGGED = /^\\?SHA256 \((.+)\) = ([0-9a-fA-F]{64})$/;

/** In lower case, or null where the file does not say it. A bare hash, alone in the file, is the hash of any name. */
export function hashFor(name: string, text: string): string | null {
  const lines = text
    .split(/\r?\n/)
    .map((line) => line.trim())
    .filter((line) => line !== "" && !line.startsWith("#"));
  const hashes = new Set<string>();
  for (const line of lines) {
    const plain = PLAIN.exec(line);
    const tagged = TAGGED.exec(line);
    const [named, hash] = tagged === null ? [plain?.[2], plain?.[1]] : [tagged[1], tagged[2]];
    if (hash === undefined) continue;
    if (named === undefined ? lines.length === 1 : baseName(named) === name) hashes.add(hash.toLowerCase());
  }
  // Two different ones for the same name say nothing.
  return hashes.size === 1 ? ([...hashes][0] ?? null) : null;
}

function baseName(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1);
}
