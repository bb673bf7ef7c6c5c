/**
 * Time slices of a volume: directories with a key each, named by the time that they are for, so that a changed length
 * changes nothing of what is there. `20261125T000000Z--20261126T000000Z`: from its first second up to, and without,
 * its last (ISO 8601 basic format; `--` stands for the solidus that no file name can hold).
 */
import * as z from "zod";

/** Shorter is no length that a look of the platform could hold. */
export const SHORTEST_SLICE_MS = 10_000;
/** In one period: each is a key in the kernel and a directory. */
export const MOST_SLICES = 400;

const NAME = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z--(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/;
/** Seconds that a year of four digits can name. */
const FIRST_MS = 0;
const LAST_MS = Date.UTC(9999, 11, 31);

export interface SliceTimes {
  /** Milliseconds since 1970, whole seconds. */
  readonly startMs: number;
  /** Not part of it. */
  readonly endMs: number;
}

export const SliceName = z
  .string()
  .refine((text) => parseSlice(text) !== null, "a slice such as 20261125T000000Z--20261126T000000Z");
export type SliceName = z.infer<typeof SliceName>;

/** Null for what is no name of a slice; one instant has one name. */
export function parseSlice(name: string): SliceTimes | null {
  const parts = NAME.exec(name)?.slice(1).map(Number);
  if (parts === undefined) return null;
  const [year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0] = parts;
  const [toYear = 0, toMonth = 0, toDay = 0, toHour = 0, toMinute = 0, toSecond = 0] = parts.slice(6);
  const startMs = Date.UTC(year, month - 1, day, hour, minute, second);
  const endMs = Date.UTC(toYear, toMonth - 1, toDay, toHour, toMinute, toSecond);
  if (startMs < FIRST_MS || endMs > LAST_MS || endMs <= startMs) return null;
  return sliceName({ startMs, endMs }) === name ? { startMs, endMs } : null;
}

export function sliceName({ startMs, endMs }: SliceTimes): SliceName {
  return `${basic(startMs)}--${basic(endMs)}`;
}

/** The slice of this length that holds a moment; all of one length lie end to end, since 1970. */
export function sliceAt(atMs: number, lengthMs: number): SliceTimes {
  const startMs = Math.floor(atMs / lengthMs) * lengthMs;
  return { startMs, endMs: startMs + lengthMs };
}

function basic(atMs: number): string {
  return `${new Date(atMs).toISOString().slice(0, 19).replaceAll(/[-:]/g, "")}Z`;
}
