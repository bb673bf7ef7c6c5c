/**
 * What a distribution's package says of itself: the control stanza of a Debian package, or a record
 * of Alpine's installed database. The bill of materials and the trimming are made from these.
 *
 * Pure parsing; formats: deb-control(5), and apk's `lib/apk/db/installed` (one letter a field).
 */
import { parseControl } from "./apt-sources.ts";

export interface DistributionPackage {
  readonly kind: "deb" | "apk";
  readonly name: string;
  readonly version: string;
  readonly architecture: string;
  readonly source: string;
  readonly description: string;
  readonly homepage: string | null;
  /** As the package states it (apk only; Debian states licences in files). */
  readonly licence: string | null;
  /** Names alone, every alternative, sorted. */
  readonly depends: readonly string[];
  readonly provides: readonly string[];
}

/** Stanzas of deb-control(5), separated by empty lines. */
export function parseDebPackages(text: string): readonly DistributionPackage[] {
  return text.split(/\n\s*\n/).flatMap((stanza): DistributionPackage[] => {
    const field = parseControl(stanza);
    const name = field.get("package");
    const version = field.get("version");
    if (name === undefined || version === undefined) return [];
    return [
      {
        kind: "deb",
        name,
        version,
        architecture: field.get("architecture") ?? "all",
        source: (field.get("source") ?? name).split(" ")[0] ?? name,
        description: (field.get("description") ?? "").split("\n")[0] ?? "",
        homepage: field.get("homepage") ?? null,
        licence: null,
        depends: relations(`${field.get("depends") ?? ""},${field.get("pre-depends") ?? ""}`),
        provides: relations(field.get("provides") ?? ""),
      },
    ];
  });
}

/** Records of apk's installed database. */
export function parseApkPackages(text: string): readonly DistributionPackage[] {
  return text.split("\n\n").flatMap((record): DistributionPackage[] => {
    const field = new Map(
      record
        .split("\n")
        .filter((line) => line[1] === ":")
        .map((line) => [line.slice(0, 1), line.slice(2)] as const),
    );
    const name = field.get("P");
    const version = field.get("V");
    if (name === undefined || version === undefined) return [];
    return [
      {
        kind: "apk",
        name,
        version,
        architecture: field.get("A") ?? "noarch",
        source: field.get("o") ?? name,
        description: field.get("T") ?? "",
        homepage: field.get("U") ?? null,
        licence: field.get("L") ?? null,
        depends: apkNames(field.get("D") ?? ""),
        provides: apkNames(field.get("p") ?? ""),
      },
    ];
  });
}

/** Paths of the files of each package in apk's installed database (`F:` a directory, `R:` a file in it). */
export function parseApkFiles(text: string): ReadonlyMap<string, readonly string[]> {
  const files = new Map<string, string[]>();
  for (const record of text.split("\n\n")) {
    const name = /^P:(.*)$/m.exec(record)?.[1];
    if (name === undefined) continue;
    const paths: string[] = [];
    let directory = "";
    for (const line of record.split("\n")) {
      if (line.startsWith("F:")) directory = line.slice(2);
      if (line.startsWith("R:")) {
        paths.push(directory === "" ? line.slice(2) : `${directory}/${line.slice(2)}`);
      }
    }
    files.set(name, paths);
  }
  return files;
}

/** The database without the packages that are not in the image. */
export function selectApkRecords(text: string, kept: ReadonlySet<string>): string {
  return text
    .split("\n\n")
    .filter((record) => kept.has(/^P:(.*)$/m.exec(record)?.[1] ?? ""))
    .map((record) => `${record.replace(/\n+$/, "")}\n\n`)
    .join("");
}

/** `a (>= 1) | b, c:any [amd64]` → a, b, c */
function relations(text: string): string[] {
  const names = text
    .split(/[,|]/)
    .map((each) => each.trim().split(/[\s(:[]/)[0] ?? "")
    .filter((name) => name !== "");
  return [...new Set(names)].toSorted();
}

function apkNames(text: string): string[] {
  const names = text
    .split(/\s+/)
    .map((each) => each.replace(/[<>=~].*$/, ""))
    .filter((name) => name !== "" && !name.startsWith("!"));
  return [...new Set(names)].toSorted();
}
