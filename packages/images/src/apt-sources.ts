/**
 * The host's own apt sources, read for one thing: where this host fetches the Debian archive.
 *
 * Reads both formats of sources.list(5): one-line `.list` and deb822 `.sources`. Entries that are
 * disabled, for source packages, on a CD or signed by another origin's key are left out. A wrong
 * guess here cannot do harm: what is fetched is verified against Debian's own keyring later.
 * Pure: the caller reads the files.
 */

export interface AptSourceFile {
  /** Only its ending matters: `.list` or `.sources`. */
  readonly name: string;
  readonly text: string;
}

export interface AptEntry {
  readonly uri: string;
  readonly suite: string;
  readonly components: readonly string[];
  /** Path of a keyring, or null where apt's trusted keys hold (or the key stands inline). */
  readonly signedBy: string | null;
}

/** Base URIs; `security` is null where the host names none. */
export interface DebianArchive {
  readonly main: string;
  readonly security: string | null;
}

/** Finds the base URIs of the Debian archive among the host's entries; null where there is none. */
export function findDebianArchive(files: readonly AptSourceFile[]): DebianArchive | null {
  const entries = parseAptSources(files).filter(isDebian);
  const main = best(entries.filter((entry) => RELEASE.test(entry.suite)));
  if (main === null) return null;
  return { main, security: best(entries.filter((entry) => SECURITY.test(entry.suite))) };
}

/** All enabled binary entries, one for each pair of URI and suite. */
export function parseAptSources(files: readonly AptSourceFile[]): readonly AptEntry[] {
  return files.flatMap(({ name, text }) =>
    name.endsWith(".sources") ? parseDeb822(text) : parseOneLine(text),
  );
}

const CODENAME = "(?:bullseye|bookworm|trixie|forky|duke|sid|oldstable|stable|testing|unstable)";
const RELEASE = new RegExp(`^${CODENAME}(?:-updates|-backports)?$`);
const SECURITY = new RegExp(`^${CODENAME}(?:-security|/updates)$`);
const SCHEME = /^(?:https?|file|copy|mirror(?:\+[a-z]+)?):\S+$/;

function isDebian(entry: AptEntry): boolean {
  return (
    SCHEME.test(entry.uri) &&
    entry.components.includes("main") &&
    (entry.signedBy === null || /(?:^|\/)debian-archive-[^/]*$/.test(entry.signedBy))
  );
}

/** Others publish a `bookworm main` of their own: Debian's key and the customary path tell. */
function best(entries: readonly AptEntry[]): string | null {
  const score = (entry: AptEntry): number =>
    (entry.signedBy === null ? 0 : 2) + (/\/debian(?:-security)?$/.test(entry.uri) ? 1 : 0);
  return entries.toSorted((a, b) => score(b) - score(a))[0]?.uri ?? null;
}

function parseOneLine(text: string): AptEntry[] {
  return text.split("\n").flatMap((raw) => {
    const match = /^deb\s+(?:\[([^\]]*)\]\s+)?(\S+)\s+(\S+)\s*([^#]*)/.exec(raw.trim());
    if (match === null) return [];
    const [, options = "", uri = "", suite = "", components = ""] = match;
    const signedBy = /(?:^|\s)signed-by=(\S+)/i.exec(options)?.[1] ?? null;
    return [{ uri: trimSlash(uri), suite, components: words(components), signedBy }];
  });
}

function parseDeb822(text: string): AptEntry[] {
  const stanzas = text
    .split("\n")
    .filter((line) => !line.startsWith("#"))
    .join("\n")
    .split(/\n\s*\n/);
  return stanzas.flatMap((stanza) => {
    const field = parseControl(stanza);
    if (/^(?:no|false|off|0|without|disable)$/i.test(field.get("enabled") ?? "")) return [];
    if (!words(field.get("types") ?? "").includes("deb")) return [];
    const key = field.get("signed-by") ?? "";
    const signedBy = key.startsWith("/") ? (words(key)[0] ?? null) : null;
    const components = words(field.get("components") ?? "");
    return words(field.get("uris") ?? "").flatMap((uri) =>
      words(field.get("suites") ?? "").map((suite) => ({
        uri: trimSlash(uri),
        suite,
        components,
        signedBy,
      })),
    );
  });
}

/** One stanza of deb822(5): field names in lower case; continuation lines joined by a newline. */
export function parseControl(stanza: string): ReadonlyMap<string, string> {
  const fields = new Map<string, string>();
  let current = "";
  for (const line of stanza.split("\n")) {
    if (/^[ \t]/.test(line)) {
      fields.set(current, `${fields.get(current) ?? ""}\n${line.trim()}`.trim());
      continue;
    }
    const colon = line.indexOf(":");
    if (colon <= 0) continue;
    current = line.slice(0, colon).toLowerCase();
    fields.set(current, line.slice(colon + 1).trim());
  }
  return fields;
}

function words(text: string): string[] {
  return text.split(/\s+/).filter((word) => word !== "");
}

function trimSlash(uri: string): string {
  return uri.replace(/\/+$/, "");
}
