/**
 * Watch list: domains and networks to look out for, read from text: one entry a line, `#` begins a
 * remark. A domain stands for itself and all below it. It is read whole or refused, and never changed.
 */
import { createReadStream } from "node:fs";
import { normaliseName } from "../dns-record.ts";
import { EntryTable } from "./entry-table.ts";
import { familyOf, networkOf, parseNetwork } from "./network.ts";

export type ReadWatchList =
  | { readonly kind: "read"; readonly list: WatchList }
  | { readonly kind: "refused"; readonly reason: string };

/** Name of the host names' letters; an underscore occurs in names of services (RFC 8552). */
const LABEL = /^[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?$/;
const LONGEST_NAME = 253;
const LONGEST_LINE = 1_024;
const CHUNK_BYTES = 64 * 1024;
/** Lines that are no entry, of all: beyond it the file is not what it should be. */
const MOST_BAD_SHARE = 0.05;

export class WatchList {
  readonly name: string;
  readonly #entries: EntryTable;
  /** Lengths of prefix that occur, longest first. */
  readonly #prefixes: Readonly<Record<4 | 6, readonly number[]>>;

  constructor(name: string, entries: EntryTable, prefixes: Readonly<Record<4 | 6, readonly number[]>>) {
    this.name = name;
    this.#entries = entries;
    this.#prefixes = prefixes;
  }

  get size(): number {
    return this.#entries.size;
  }

  /** The most particular entry that a name or address falls under; null where none. */
  find(term: string): string | null {
    const family = familyOf(term);
    if (family === null) return this.#findName(term);
    for (const prefix of this.#prefixes[family]) {
      const network = networkOf(term, family, prefix);
      if (this.#entries.has(network)) return network;
    }
    return null;
  }

  #findName(name: string): string | null {
    for (let rest = name; rest !== "";) {
      if (this.#entries.has(rest)) return rest;
      const dot = rest.indexOf(".");
      if (dot < 0) return null;
      rest = rest.slice(dot + 1);
    }
    return null;
  }
}

/** @param room how many entries there may be */
export async function readWatchList(name: string, path: string, room: number): Promise<ReadWatchList> {
  // Twice, so that the table is made as large as it has to be and no larger.
  const counted = { entries: 0, bytes: 0, bad: 0, firstBad: 0 };
  await readEntries(path, (entry, line) => {
    if (entry === null) {
      counted.bad += 1;
      if (counted.firstBad === 0) counted.firstBad = line;
    } else {
      counted.entries += 1;
      counted.bytes += entry.text.length;
    }
    return counted.entries <= room;
  });
  if (counted.entries > room) return refused(`it has more than ${room} entries, for which there is room`);
  const { entries, bytes, bad, firstBad } = counted;
  if (bad / (entries + bad) > MOST_BAD_SHARE) {
    return refused(`${bad} of its lines are neither domain nor address, line ${firstBad} first`);
  }
  if (entries === 0) return refused("it holds no entry");
  const table = new EntryTable(entries, bytes);
  const prefixes = { 4: new Set<number>(), 6: new Set<number>() };
  await readEntries(path, (entry) => {
    if (entry === null) return true;
    table.add(entry.text);
    if (entry.family !== null) prefixes[entry.family].add(entry.prefix);
    return true;
  });
  const sorted = (each: ReadonlySet<number>) => [...each].toSorted((a, b) => b - a);
  return {
    kind: "read",
    list: new WatchList(name, table, { 4: sorted(prefixes[4]), 6: sorted(prefixes[6]) }),
  };
}

interface Entry {
  readonly text: string;
  /** Null for a domain. */
  readonly family: 4 | 6 | null;
  readonly prefix: number;
}

/** Calls `visit` with each line that is no remark, until it says false; null: the line is no entry. */
async function readEntries(
  path: string,
  visit: (entry: Entry | null, line: number) => boolean,
): Promise<void> {
  let line = 0;
  let rest = "";
  const take = (raw: string): boolean => {
    line += 1;
    const remark = raw.indexOf("#");
    const text = (remark < 0 ? raw : raw.slice(0, remark)).trim();
    return text === "" || visit(raw.length > LONGEST_LINE ? null : parseEntry(text), line);
  };
  // By chunks, since an iteration for each of a million lines takes many times as long.
  for await (const chunk of createReadStream(path, { encoding: "latin1", highWaterMark: CHUNK_BYTES })) {
    const lines = `${rest}${String(chunk)}`.split("\n");
    rest = lines.pop() ?? "";
    if (rest.length > CHUNK_BYTES) rest = rest.slice(0, LONGEST_LINE + 1); // no entry, however it goes on
    if (!lines.every(take)) return;
  }
  if (rest !== "") take(rest);
}

export function parseEntry(text: string): Entry | null {
  const network = parseNetwork(text);
  if (network !== null) return network;
  // Lists often write a domain with what is below it as `*.example` or `.example`.
  const name = normaliseName(text).replace(/^(\*\.|\.)/, "");
  const isName = name.length <= LONGEST_NAME && name.split(".").every((label) => LABEL.test(label));
  // A number at the end is no top-level domain, but an address that is not whole.
  return isName && !/(^|\.)\d+$/.test(name) ? { text: name, family: null, prefix: 0 } : null;
}

function refused(reason: string): ReadWatchList {
  return { kind: "refused", reason };
}
