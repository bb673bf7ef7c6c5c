/**
 * Header blocks: which headers a client may send through the gate.
 *
 * Invariants: `Nats-…` headers steer the broker (roll-ups, traces to any subject, schedules, time
 * to live), so only those that touch the sender's own stream pass; every other header is the
 * sender's business. Values are not looked at. Pure.
 */

export type HeaderFault = "not-a-header-block" | "forbidden-header";

const VERSION = Buffer.from("NATS/1.0");
/** As a client library writes them; the broker reads `Nats-Msg-Id` and the expectations of a publish. */
const ALLOWED = ["Nats-Msg-Id", "Nats-Expected-"].map((name) => Buffer.from(name));
const STEERING = Buffer.from("nats-");
const CR = 0x0d;
const LF = 0x0a;
const COLON = 0x3a;

/** Looks at `data[start, end)`: `NATS/1.0 CRLF (name: value CRLF)* CRLF`. Null: it may pass. */
export function findHeaderFault(data: Buffer, start: number, end: number): HeaderFault | null {
  if (end - start < VERSION.length + 4 || !startsWith(data, start, VERSION, false)) {
    return "not-a-header-block";
  }
  if (
    data[end - 1] !== LF ||
    data[end - 2] !== CR ||
    data[end - 3] !== LF ||
    data[start + VERSION.length] !== CR
  ) {
    return "not-a-header-block";
  }
  let line = start + VERSION.length + 2;
  if (data[line - 1] !== LF) return "not-a-header-block";
  while (line < end - 2) {
    const lineEnd = endOfLine(data, line, end);
    if (lineEnd < 0) return "not-a-header-block";
    const colon = data.indexOf(COLON, line);
    if (colon <= line || colon >= lineEnd) return "not-a-header-block";
    if (steers(data, line) && !isAllowed(data, line, colon)) return "forbidden-header";
    line = lineEnd + 2;
  }
  return line === end - 2 ? null : "not-a-header-block";
}

/** Where the line's CR LF begins; -1 where a CR or LF stands alone. */
function endOfLine(data: Buffer, start: number, end: number): number {
  for (let at = start; at < end - 1; at += 1) {
    const byte = data[at];
    if (byte === CR) return data[at + 1] === LF ? at : -1;
    if (byte === LF) return -1;
  }
  return -1;
}

/** The broker skips spaces before some names: a name that begins with one is one to look at too. */
function steers(data: Buffer, line: number): boolean {
  const first = data[line] ?? 0;
  return first <= 0x20 || startsWith(data, line, STEERING, true);
}

function isAllowed(data: Buffer, line: number, colon: number): boolean {
  return ALLOWED.some(
    (name, index) => startsWith(data, line, name, false) && (index > 0 || colon === line + name.length),
  );
}

function startsWith(data: Buffer, at: number, name: Buffer, anyCase: boolean): boolean {
  for (let index = 0; index < name.length; index += 1) {
    const byte = data[at + index] ?? 0;
    const folded = anyCase && byte >= 0x41 && byte <= 0x5a ? byte + 0x20 : byte;
    if (folded !== name[index]) return false;
  }
  return true;
}
