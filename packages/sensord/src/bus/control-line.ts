/**
 * Control lines: cuts one direction of a NATS connection into frames, whatever the chunks, and
 * asks a judge about each control line. Payloads are counted, never looked at.
 *
 * Invariants: a strict subset of the grammar that nats-server reads (upper-case operations, spaces
 * between arguments, CR LF, no other control character), so that both find the same frames in the
 * same bytes; what is held back between chunks is at most one control line and its header block.
 * Pure: it writes to nothing and knows no rights. Source: NATS client protocol.
 */

export type ClientOp = "connect" | "pub" | "hpub" | "sub" | "unsub" | "ping" | "pong";
export type ServerOp = "info" | "msg" | "hmsg" | "ping" | "pong" | "ok" | "err";

/** The frame at hand: one object for all of them, valid while the judge is asked. */
export interface Frame<Op> {
  readonly op: Op;
  readonly data: Buffer;
  /** Where the text behind the operation begins and where it ends, before CR LF. */
  readonly textStart: number;
  readonly textEnd: number;
  /** Arguments, as pairs of start and end in `data`. Empty for operations of free text. */
  readonly argumentBounds: Int32Array;
  readonly argumentCount: number;
  /** Where the header block begins; with `holdHeaders` it is wholly in `data`. */
  readonly headerStart: number;
  readonly headerBytes: number;
  /** Headers included. */
  readonly totalBytes: number;
}

/** What becomes of a frame: forwarded, swallowed, swallowed with these bytes in its place, or the end. */
export type Verdict = "pass" | "drop" | "stop" | Buffer;

export type ScanFault =
  | "unknown-operation"
  | "line-too-long"
  | "bad-arguments"
  | "bad-character"
  | "header-too-large"
  | "unterminated-payload"
  | "stopped";

export interface ScanLimits {
  /** Longest control line, operation included, without CR LF. */
  readonly lineBytes: number;
  readonly headerBytes: number;
  /** Ask the judge only when the whole header block is there. */
  readonly holdHeaders: boolean;
}

interface Grammar<Op> {
  readonly literal: Buffer;
  readonly op: Op;
  /** `bare`: nothing follows; `text`: anything; else the fewest and most arguments. */
  readonly shape: "bare" | "text" | readonly [number, number];
  /** How many of the last arguments are sizes. */
  readonly sizes: 0 | 1 | 2;
}

export const CLIENT_GRAMMAR: readonly Grammar<ClientOp>[] = [
  { literal: Buffer.from("HPUB "), op: "hpub", shape: [3, 4], sizes: 2 },
  { literal: Buffer.from("PUB "), op: "pub", shape: [2, 3], sizes: 1 },
  { literal: Buffer.from("SUB "), op: "sub", shape: [2, 3], sizes: 0 },
  { literal: Buffer.from("UNSUB "), op: "unsub", shape: [1, 2], sizes: 0 },
  { literal: Buffer.from("PING\r\n"), op: "ping", shape: "bare", sizes: 0 },
  { literal: Buffer.from("PONG\r\n"), op: "pong", shape: "bare", sizes: 0 },
  { literal: Buffer.from("CONNECT "), op: "connect", shape: "text", sizes: 0 },
];

export const SERVER_GRAMMAR: readonly Grammar<ServerOp>[] = [
  { literal: Buffer.from("HMSG "), op: "hmsg", shape: [4, 5], sizes: 2 },
  { literal: Buffer.from("MSG "), op: "msg", shape: [3, 4], sizes: 1 },
  { literal: Buffer.from("PING\r\n"), op: "ping", shape: "bare", sizes: 0 },
  { literal: Buffer.from("PONG\r\n"), op: "pong", shape: "bare", sizes: 0 },
  { literal: Buffer.from("+OK\r\n"), op: "ok", shape: "bare", sizes: 0 },
  { literal: Buffer.from("-ERR "), op: "err", shape: "text", sizes: 0 },
  { literal: Buffer.from("INFO "), op: "info", shape: "text", sizes: 0 },
];

const SPACE = 0x20;
const CR = 0x0d;
const LF = 0x0a;
const DELETE = 0x7f;
/** Outcomes of reading a line that are not the place behind it. */
const INCOMPLETE = -1;
const FAULTY = -2;

export class FrameScanner<Op> {
  readonly #grammar: readonly Grammar<Op>[];
  readonly #limits: ScanLimits;
  readonly #judge: (frame: Frame<Op>) => Verdict;
  readonly #frame: { -readonly [K in keyof Frame<Op>]: Frame<Op>[K] };
  /** An unfinished control line, with its headers where those are waited for. */
  #held: Buffer | null = null;
  /** Bytes of the present payload that are still to come, CR LF included. */
  #bodyLeft = 0;
  #dropping = false;
  #fault: ScanFault | null = null;

  constructor(grammar: readonly Grammar<Op>[], limits: ScanLimits, judge: (frame: Frame<Op>) => Verdict) {
    const first = grammar[0];
    if (first === undefined) throw new TypeError("a grammar has at least one operation");
    this.#grammar = grammar;
    this.#limits = limits;
    this.#judge = judge;
    this.#frame = {
      op: first.op,
      data: Buffer.alloc(0),
      textStart: 0,
      textEnd: 0,
      argumentBounds: new Int32Array(10),
      argumentCount: 0,
      headerStart: 0,
      headerBytes: 0,
      totalBytes: 0,
    };
  }

  /**
   * Takes the next chunk and hands on, in order, what may be forwarded (views into the chunk).
   * Returns null, or what ended the conversation; after that, nothing may be pushed.
   */
  push(chunk: Buffer, forward: (bytes: Buffer) => void): ScanFault | null {
    const data = this.#held === null ? chunk : Buffer.concat([this.#held, chunk]);
    this.#held = null;
    let at = 0;
    /** Bytes from here to `at` are to be forwarded and were not yet. */
    let from = 0;
    while (at < data.length) {
      if (this.#bodyLeft > 0) {
        const next = this.#body(data, at);
        if (next === FAULTY) break;
        at = next;
        if (this.#dropping) from = at;
        continue;
      }
      const next = this.#line(data, at);
      if (next === FAULTY) break;
      if (next === INCOMPLETE) {
        this.#held = Buffer.from(data.subarray(at));
        break;
      }
      const verdict = this.#judge(this.#frame);
      if (verdict === "stop") {
        this.#fault = "stopped";
        break;
      }
      this.#dropping = verdict !== "pass";
      if (this.#dropping) {
        if (at > from) forward(data.subarray(from, at));
        if (typeof verdict !== "string") forward(verdict);
        from = next;
      }
      at = next;
    }
    // After a fault, `at` stands where the faulty frame begins.
    if (at > from) forward(data.subarray(from, at));
    return this.#fault;
  }

  /** Goes on through a payload; returns where to go on. */
  #body(data: Buffer, at: number): number {
    const end = Math.min(data.length, at + this.#bodyLeft);
    const lf = at + this.#bodyLeft - 1;
    const cr = lf - 1;
    if ((cr >= at && cr < end && data[cr] !== CR) || (lf < end && data[lf] !== LF)) {
      return this.#failed("unterminated-payload");
    }
    this.#bodyLeft -= end - at;
    return end;
  }

  /** Reads the control line at `at` into the frame; returns where its body begins. */
  #line(data: Buffer, at: number): number {
    const grammar = this.#operation(data, at);
    if (grammar === INCOMPLETE || grammar === FAULTY) return grammar;
    const frame = this.#frame;
    frame.op = grammar.op;
    frame.data = data;
    frame.textStart = at + grammar.literal.length;
    frame.argumentCount = 0;
    frame.headerBytes = 0;
    frame.totalBytes = 0;
    if (grammar.shape === "bare") {
      frame.textEnd = frame.textStart;
      return frame.textStart;
    }
    const limit = at + this.#limits.lineBytes;
    if (grammar.shape === "text") return this.#text(data, limit);
    const next = this.#arguments(data, limit);
    if (next < 0) return next;
    const [fewest, most] = grammar.shape;
    if (frame.argumentCount < fewest || frame.argumentCount > most) {
      return this.#failed("bad-arguments");
    }
    return grammar.sizes === 0 ? next : this.#sizes(data, next, grammar.sizes);
  }

  #operation(data: Buffer, at: number): Grammar<Op> | typeof INCOMPLETE | typeof FAULTY {
    let partial = false;
    for (const grammar of this.#grammar) {
      const { literal } = grammar;
      const length = Math.min(literal.length, data.length - at);
      let same = 0;
      while (same < length && data[at + same] === literal[same]) same += 1;
      if (same === literal.length) return grammar;
      if (same === length) partial = true;
    }
    return partial ? INCOMPLETE : this.#failed("unknown-operation");
  }

  /** Free text up to CR LF. */
  #text(data: Buffer, limit: number): number {
    const frame = this.#frame;
    const lf = data.indexOf(LF, frame.textStart);
    if (lf > limit + 1 || (lf < 0 && data.length > limit + 1)) return this.#failed("line-too-long");
    if (lf < 0) return INCOMPLETE;
    if (lf === frame.textStart || data[lf - 1] !== CR) return this.#failed("bad-character");
    frame.textEnd = lf - 1;
    return lf + 1;
  }

  /** Arguments parted by spaces, up to CR LF. */
  #arguments(data: Buffer, limit: number): number {
    const frame = this.#frame;
    const bounds = frame.argumentBounds;
    let count = 0;
    let inside = false;
    for (let at = frame.textStart; at < data.length; at += 1) {
      const byte = data[at] ?? 0;
      if (byte > SPACE && byte !== DELETE) {
        if (!inside) {
          if (count === 5) return this.#failed("bad-arguments");
          bounds[2 * count] = at;
          inside = true;
        }
      } else {
        if (byte !== SPACE && byte !== CR) return this.#failed("bad-character");
        if (inside) {
          bounds[2 * count + 1] = at;
          count += 1;
          inside = false;
        }
        if (byte === CR) {
          if (at > limit) return this.#failed("line-too-long");
          if (at + 1 === data.length) return INCOMPLETE;
          if (data[at + 1] !== LF) return this.#failed("bad-character");
          frame.textEnd = at;
          frame.argumentCount = count;
          return at + 2;
        }
      }
    }
    return data.length > limit ? this.#failed("line-too-long") : INCOMPLETE;
  }

  #sizes(data: Buffer, next: number, sizes: 1 | 2): number {
    const frame = this.#frame;
    const total = this.#number(data, frame.argumentCount - 1);
    const header = sizes === 2 ? this.#number(data, frame.argumentCount - 2) : 0;
    if (total < 0 || header < 0 || header > total) return this.#failed("bad-arguments");
    frame.headerStart = next;
    frame.headerBytes = header;
    frame.totalBytes = total;
    if (this.#limits.holdHeaders) {
      if (header > this.#limits.headerBytes) return this.#failed("header-too-large");
      if (data.length < next + header) return INCOMPLETE;
    }
    this.#bodyLeft = total + 2;
    return next;
  }

  /** A size of at most nine digits, as nats-server's parseSize; -1 for anything else. */
  #number(data: Buffer, argument: number): number {
    const start = this.#frame.argumentBounds[2 * argument] ?? 0;
    const end = this.#frame.argumentBounds[2 * argument + 1] ?? 0;
    if (end === start || end - start > 9) return -1;
    let value = 0;
    for (let at = start; at < end; at += 1) {
      const digit = (data[at] ?? 0) - 0x30;
      if (digit < 0 || digit > 9) return -1;
      value = value * 10 + digit;
    }
    return value;
  }

  #failed(fault: ScanFault): typeof FAULTY {
    this.#fault = fault;
    return FAULTY;
  }
}
