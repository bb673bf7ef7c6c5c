/**
 * Contact store: one file of JSON lines in each slice of the volume, so that the site can have the platform end a
 * slice by destroying its key.
 *
 * Invariants: no file stays open between two records; a record is never put into a slice of another time; on a full
 * disk the oldest go first. What the platform says is past its period is removed to the record.
 */
import { appendFile, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { RetentionStore, Slice, Slices } from "@bulkhead/sdk";
import * as z from "zod";
import type { Contact } from "./contact.ts";

/** What is not kept is told; the event goes out all the same. */
export type Kept = "kept" | "past" | "ahead" | "no-space";

/** Of a line all that counts here is when it was. */
const Line = z.looseObject({ time: z.iso.datetime() });
interface Dated {
  readonly time: number;
  readonly text: string;
}

export class ContactStore implements RetentionStore {
  readonly #slices: Slices;
  #turn: Promise<unknown> = Promise.resolve();

  constructor(slices: Slices) {
    this.#slices = slices;
  }

  add(contact: Contact, time: Date): Promise<Kept> {
    return this.#inTurn(async () => {
      const found = await this.#slices.placeOf(time);
      if (found.outcome !== "slice") return found.outcome;
      const line = `${JSON.stringify({ time: time.toISOString(), ...contact })}\n`;
      for (;;) {
        try {
          await appendFile(fileOf(found.place), line);
          return "kept";
        } catch (error) {
          // The slice may have been ended since it was found.
          if (hasEnded(error)) return "past";
          if (!isErrno(error, "ENOSPC", "EDQUOT")) throw error;
          if (!(await this.#forgetOldest(found.place))) return "no-space";
        }
      }
    });
  }

  purge(before: Date): Promise<number> {
    return this.#inTurn(async () => {
      let removed = 0;
      for (const slice of await this.#slices.list()) {
        if (slice.startMs >= before.getTime()) break;
        removed += await this.#purgeSlice(slice, before.getTime());
      }
      return removed;
    });
  }

  oldest(): Promise<Date | null> {
    return this.#inTurn(async () => {
      for (const slice of await this.#slices.list()) {
        const times = (await read(slice)).map(({ time }) => time);
        if (times.length > 0) return new Date(Math.min(...times));
      }
      return null;
    });
  }

  async #purgeSlice(slice: Slice, beforeMs: number): Promise<number> {
    const lines = await read(slice);
    const kept = lines.filter(({ time }) => time >= beforeMs);
    const file = fileOf(slice);
    if (kept.length === 0) {
      for (const each of [file, `${file}.new`]) await rm(each, { force: true });
      if (slice.endMs <= beforeMs) await this.#slices.drop(slice);
    } else if (kept.length < lines.length) {
      await writeFile(`${file}.new`, kept.map(({ text }) => `${text}\n`).join(""));
      await rename(`${file}.new`, file);
    }
    return lines.length - kept.length;
  }

  /** False: there is nothing older than what is to be written. */
  async #forgetOldest(than: Slice): Promise<boolean> {
    for (const slice of await this.#slices.list()) {
      if (slice.startMs >= than.startMs) return false;
      if ((await read(slice)).length === 0) continue;
      await rm(fileOf(slice), { force: true });
      return true;
    }
    return false;
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#turn.then(work);
    this.#turn = turn.catch(() => undefined); // its caller sees the failure
    return turn;
  }
}

function fileOf({ dir }: Slice): string {
  return join(dir, "contacts.jsonl");
}

/** Nothing where there is no file; a line that was cut short by a crash is none. */
async function read(slice: Slice): Promise<readonly Dated[]> {
  let text: string;
  try {
    text = await readFile(fileOf(slice), "utf8");
  } catch (error) {
    if (hasEnded(error)) return [];
    throw error;
  }
  return text.split("\n").flatMap((line) => {
    const time = timeOf(line);
    return time === null ? [] : [{ time, text: line }];
  });
}

function timeOf(line: string): number | null {
  try {
    return Date.parse(Line.parse(JSON.parse(line)).time);
  } catch {
    return null;
  }
}

/** "Required key not available", which Node has no name for: asm-generic/errno.h. */
const ENOKEY = 126;

/** The slice is gone, or its key is. */
function hasEnded(error: unknown): boolean {
  return isErrno(error, "ENOENT") || (error instanceof Error && "errno" in error && error.errno === -ENOKEY);
}

function isErrno(error: unknown, ...codes: readonly string[]): boolean {
  return error instanceof Error && "code" in error && codes.includes(String(error.code));
}
