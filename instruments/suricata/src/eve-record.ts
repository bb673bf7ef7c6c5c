/**
 * EVE record: its type and time, read off the bytes without parsing them.
 *
 * Suricata writes timestamp and event_type at the head of each record, before anything that came
 * off the wire, so the first occurrence is its own. The record itself is passed on untouched.
 */

export interface EveHead {
  readonly type: string;
  /** RFC 3339. */
  readonly time: string;
}

const TYPE_KEY = Buffer.from('"event_type":"');
const TIME_KEY = Buffer.from('{"timestamp":"');
const QUOTE = 0x22;
const BRACE = 0x7d;
/** The head holds numbers and interface names only. */
const MAX_HEAD = 1_024;
const TYPE_PATTERN = /^[a-z][a-z0-9_]{0,39}$/;
/** Suricata writes the offset without a colon: 2026-01-02T03:04:05.000006+0000 */
const TIME_PATTERN = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{1,9}[+-]\d\d)(\d\d)$/;

/** Null for what is no whole EVE record. */
export function parseEveHead(line: Buffer): EveHead | null {
  if (line.at(-1) !== BRACE || !line.subarray(0, TIME_KEY.length).equals(TIME_KEY)) return null;
  const time = TIME_PATTERN.exec(quoted(line, TIME_KEY.length) ?? "");
  const typeAt = line.subarray(0, MAX_HEAD).indexOf(TYPE_KEY);
  const type = typeAt === -1 ? null : quoted(line, typeAt + TYPE_KEY.length);
  if (time === null || type === null || !TYPE_PATTERN.test(type)) return null;
  return { type, time: `${time[1]}:${time[2]}` };
}

function quoted(line: Buffer, start: number): string | null {
  const end = line.indexOf(QUOTE, start);
  return end === -1 || end - start > 64 ? null : line.toString("latin1", start, end);
}
