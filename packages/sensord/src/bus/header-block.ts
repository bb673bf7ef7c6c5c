/**
 * Header blocks: which headers a client may send through the gate.
 *
 * Invariants: `Nats-…` headers steer the broker (roll-ups, traces to any subject, schedules, time
 * to live), so only those that touch the sender's own stream pass; every other header is the
 * sender's business. Values are not looked at. Pure.
 */

export type HeaderFault = "not-a-header-block" | "forbidden-header";

const VERSION = Buffer.from("NATS/1.0\r\n");
/** As a client library writes them: one whole name, and one that several begin with. */
const MESSAGE_ID = Buffer.from("Nats-Msg-Id:");
const EXPECTATION = Buffer.from("Nats-Expected-");
const STEERING = Buffer.from("nats-");
const SPACE = 0x20;
const CR = 0x0d;
const LF = 0x0a;
const COLON = 0x3a;
const LOWER_N = 0x6e;
/** Difference of a letter's cases. */
const CASE = 0x20;

/**
 * Looks at `data[start, end)`: `NATS/1.0 CRLF (name: value CRLF)* CRLF`. Null: it may pass.
 * It is asked for every event, so it goes over the block once and makes nothing.
 */
export function findHeaderFault(data: Buffer, start: number, end: number): HeaderFault | null {
  const last = end - 2;
  let line = start + VERSION.length;
  if (line > last || !startsWith(data, start, VERSION)) return "not-a-header-block";
  if (data[last] !== CR || data[last + 1] !== LF) return "not-a-header-block";
  while (line < last) {
    // The broker skips spaces before some names: a name that begins with one is looked at too.
    const first = data[line] ?? 0;
    const suspect = first <= SPACE || (first | CASE) === LOWER_N;
    let at = line;
    for (let byte = first; byte !== COLON; byte = data[at] ?? 0) {
      if (byte === CR || byte === LF || at >= last) return "not-a-header-block";
      at += 1;
    }
    if (at === line) return "not-a-header-block";
    if (suspect && steers(data, line) && !isAllowed(data, line)) return "forbidden-header";
    for (let byte = COLON; byte !== CR; byte = data[at] ?? 0) {
      if (byte === LF || at >= last) return "not-a-header-block";
      at += 1;
    }
    if (data[at + 1] !== LF) return "not-a-header-block";
    line = at + 2;
  }
  return line === last ? null : "not-a-header-block";
}

/** Value of the first header of this name in a block that has no fault, or null. Names are compared as written. */
export function headerValue(data: Buffer, start: number, end: number, name: string): string | null {
  for (const line of data.toString("latin1", start, end).split("\r\n")) {
    if (line.startsWith(`${name}:`)) return line.slice(name.length + 1).trim();
  }
  return null;
}

function steers(data: Buffer, line: number): boolean {
  if ((data[line] ?? 0) <= SPACE) return true;
  for (let index = 0; index < STEERING.length; index += 1) {
    const byte = data[line + index] ?? 0;
    const folded = byte >= 0x41 && byte <= 0x5a ? byte | CASE : byte;
    if (folded !== STEERING[index]) return false;
  }
  return true;
}

function isAllowed(data: Buffer, line: number): boolean {
  return startsWith(data, line, MESSAGE_ID) || startsWith(data, line, EXPECTATION);
}

function startsWith(data: Buffer, at: number, literal: Buffer): boolean {
  for (let index = 0; index < literal.length; index += 1) {
    if (data[at + index] !== literal[index]) return false;
  }
  return true;
}
