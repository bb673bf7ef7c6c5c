/**
 * The names in an archive, judged as somebody would who unpacks it. Pure.
 *
 * Invariants: every accepted name stays below the place where it is unpacked, on any system; no two entries are in
 * each other's place. Nothing here writes by these names.
 */
import { Problem } from "./problem.ts";

const MOST_CHARS = 500;
const MOST_DEPTH = 32;

export class EntryNames {
  readonly #kinds = new Map<string, "file" | "directory">();
  readonly #most: number;
  #count = 0;

  constructor(most: number) {
    this.#most = most;
  }

  get count(): number {
    return this.#count;
  }

  /** @returns the name without what says nothing (`./`, doubled slashes) @throws Problem `archive` */
  add(name: string, kind: "file" | "directory"): string {
    this.#count += 1;
    if (this.#count > this.#most) throw refuse(`it has more than ${this.#most} entries`);
    const parts = partsOf(name);
    const clean = parts.join("/");
    if (clean === "") {
      // `./`, which tar writes for the place itself.
      if (kind === "directory") return clean;
      throw refuse("a file has no name");
    }
    for (let depth = 1; depth < parts.length; depth += 1) {
      const parent = parts.slice(0, depth).join("/");
      if (this.#kinds.get(parent) === "file") throw refuse(`${shown(clean)} lies below a file`);
      this.#kinds.set(parent, "directory");
    }
    const former = this.#kinds.get(clean);
    if (former !== undefined && (kind === "file" || former === "file")) {
      throw refuse(`${shown(clean)} is there twice`);
    }
    this.#kinds.set(clean, kind);
    return clean;
  }
}

function partsOf(name: string): readonly string[] {
  if (name.length > MOST_CHARS) throw refuse("a name is too long");
  if (/[\p{C}\\]/u.test(name)) {
    throw refuse(`${shown(name)} has a character that no name has`);
  }
  const parts = name.split("/").filter((part) => part !== "" && part !== ".");
  if (name.startsWith("/") || /^[A-Za-z]:/.test(parts[0] ?? "")) throw refuse(`${shown(name)} is absolute`);
  if (parts.includes("..")) throw refuse(`${shown(name)} leads out of the archive`);
  if (parts.length > MOST_DEPTH) throw refuse(`${shown(name)} lies too deep`);
  return parts;
}

/** A stranger's words, for a log line. */
export function shown(text: string): string {
  return JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}…` : text);
}

function refuse(message: string): Problem {
  return new Problem("archive", message);
}
