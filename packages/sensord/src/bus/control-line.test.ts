import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  CLIENT_GRAMMAR,
  type ClientOp,
  type Frame,
  FrameScanner,
  type ScanFault,
  SERVER_GRAMMAR,
  type ServerOp,
  type Verdict,
} from "./control-line.ts";

const LIMITS = { lineBytes: 256, headerBytes: 512, holdHeaders: true } as const;

interface Scan {
  readonly out: string;
  readonly frames: readonly string[];
  readonly fault: ScanFault | null;
}

/** What was judged, and what was forwarded, when `text` comes in these chunks. */
function scan(
  text: string,
  cuts: readonly number[] = [],
  judge: (described: string) => Verdict = () => "pass",
  limits: { lineBytes: number; headerBytes: number; holdHeaders: boolean } = LIMITS,
): Scan {
  const frames: string[] = [];
  const out: Buffer[] = [];
  const scanner = new FrameScanner<ClientOp>(CLIENT_GRAMMAR, limits, (frame) => {
    const described = describe(frame);
    frames.push(described);
    return judge(described);
  });
  let fault: ScanFault | null = null;
  for (const chunk of chunksOf(Buffer.from(text, "latin1"), cuts)) {
    fault = scanner.push(chunk, (bytes) => out.push(Buffer.from(bytes)));
    if (fault !== null) break;
  }
  return { out: Buffer.concat(out).toString("latin1"), frames, fault };
}

function describe(frame: Frame<ClientOp | ServerOp>): string {
  const { data, argumentBounds: bounds } = frame;
  const args = Array.from({ length: frame.argumentCount }, (_, at) =>
    data.toString("latin1", bounds[2 * at], bounds[2 * at + 1]),
  );
  const headers = data.toString("latin1", frame.headerStart, frame.headerStart + frame.headerBytes);
  return [frame.op, ...args, ...(frame.headerBytes > 0 ? [headers] : [])].join("|");
}

function chunksOf(data: Buffer, cuts: readonly number[]): readonly Buffer[] {
  const places = [...new Set(cuts.map((cut) => cut % (data.length + 1)))].toSorted((a, b) => a - b);
  return [0, ...places].map((from, at) => data.subarray(from, places[at] ?? data.length));
}

const SESSION =
  'CONNECT {"verbose":false}\r\nPING\r\nSUB cmd.ids.> 1\r\nSUB a q 2\r\nUNSUB 2 5\r\n' +
  "PUB ev.ids.x _INBOX.ids.1 5\r\nPING\n\r\nHPUB  ev.ids.x  12 14 \r\nNATS/1.0\r\n\r\nhi\r\nPUB a 0\r\n\r\nPONG\r\n";

test("a session is cut into its frames, and forwarded as it is", () => {
  assert.deepEqual(scan(SESSION), {
    out: SESSION,
    frames: [
      "connect",
      "ping",
      "sub|cmd.ids.>|1",
      "sub|a|q|2",
      "unsub|2|5",
      "pub|ev.ids.x|_INBOX.ids.1|5",
      "hpub|ev.ids.x|12|14|NATS/1.0\r\n\r\n",
      "pub|a|0",
      "pong",
    ],
    fault: null,
  });
});

test("dropped frames go with their payload, replaced ones with new bytes in their place", () => {
  const judge = (frame: string): Verdict =>
    frame.startsWith("connect") ? Buffer.from("HELLO\r\n") : frame.startsWith("pub|ev") ? "drop" : "pass";
  const { out } = scan(SESSION, [], judge);
  const kept = SESSION.replace('CONNECT {"verbose":false}', "HELLO").replace(
    "PUB ev.ids.x _INBOX.ids.1 5\r\nPING\n\r\n",
    "",
  );
  assert.equal(out, kept);
});

test("nothing is judged or forwarded after a stop", () => {
  const { out, frames, fault } = scan(SESSION, [], (f) => (f.startsWith("sub") ? "stop" : "pass"));
  assert.equal(out, 'CONNECT {"verbose":false}\r\nPING\r\n');
  assert.equal(frames.length, 3);
  assert.equal(fault, "stopped");
});

const FAULTS: readonly (readonly [string, ScanFault])[] = [
  ["pub a 0\r\n\r\n", "unknown-operation"],
  ["GET / HTTP/1.1\r\n", "unknown-operation"],
  ["INFO {}\r\n", "unknown-operation"],
  ["MSG a 1 0\r\n\r\n", "unknown-operation"],
  ["+OK\r\n", "unknown-operation"],
  ["-ERR 'x'\r\n", "unknown-operation"],
  ["PING \r\n", "unknown-operation"],
  ["\r\nPING\r\n", "unknown-operation"],
  ["PUB a\t0\r\n\r\n", "bad-character"],
  ["PUB a 0\n\r\n", "bad-character"],
  ["PUB a\r 0\r\n\r\n", "bad-character"],
  ["PUB a\0b 0\r\n\r\n", "bad-character"],
  ["SUB a\x7f 1\r\n", "bad-character"],
  ["CONNECT {}\nPING\r\n", "bad-character"],
  ["PUB 0\r\n\r\n", "bad-arguments"],
  ["PUB a b c 0\r\n\r\n", "bad-arguments"],
  ["PUB a b c d e f g 0\r\n\r\n", "bad-arguments"],
  ["PUB a -1\r\n", "bad-arguments"],
  ["PUB a 1e3\r\n", "bad-arguments"],
  ["PUB a 0x10\r\n", "bad-arguments"],
  ["PUB a 9999999999\r\n", "bad-arguments"],
  ["HPUB a 12 11\r\n", "bad-arguments"],
  ["HPUB a 12\r\n", "bad-arguments"],
  ["UNSUB\r\n", "unknown-operation"],
  ["PUB a 2\r\nabc\r\n", "unterminated-payload"],
  ["PUB a 2\r\nab\n\n", "unterminated-payload"],
  ["PUB a 2\r\nab\r\r", "unterminated-payload"],
  ["HPUB a 513 513\r\n", "header-too-large"],
  [`PUB ${"a".repeat(300)} 0\r\n\r\n`, "line-too-long"],
  [`PUB ${"a".repeat(300)}`, "line-too-long"],
  [`CONNECT ${"a".repeat(300)}\r\n`, "line-too-long"],
  [`CONNECT ${"a".repeat(300)}`, "line-too-long"],
];

test("what is not the strict protocol is a fault of its kind, and is not forwarded", () => {
  for (const [text, fault] of FAULTS) {
    const whole = scan(`PING\r\n${text}`);
    assert.equal(whole.fault, fault, JSON.stringify(text));
    assert.ok(whole.out.startsWith("PING\r\n"), JSON.stringify(text));
    if (fault !== "unterminated-payload") assert.equal(whole.out, "PING\r\n");
  }
});

test("the server's side: messages with and without headers, errors, information", () => {
  const text =
    "INFO {}\r\n+OK\r\nMSG a 1 5\r\n-ERR \r\nHMSG a 1 _INBOX.x 12 14\r\nNATS/1.0\r\n\r\nhi\r\n-ERR 'no'\r\nPING\r\n";
  const seen: string[] = [];
  const limits = { lineBytes: 1024, headerBytes: 0, holdHeaders: false };
  const scanner = new FrameScanner<ServerOp>(SERVER_GRAMMAR, limits, ({ op }) => {
    seen.push(op);
    return "pass";
  });
  // A payload that looks like an error is none.
  assert.equal(
    scanner.push(Buffer.from(text), () => undefined),
    null,
  );
  assert.deepEqual(seen, ["info", "ok", "msg", "hmsg", "err", "ping"]);
});

const subject = fc.stringMatching(/^[a-z0-9.>*_$]{1,20}$/);
const payload = fc.uint8Array({ maxLength: 60 }).map((bytes) => Buffer.from(bytes).toString("latin1"));
const header = fc.stringMatching(/^[a-z]{1,8}$/).map((name) => `NATS/1.0\r\n${name}: x\r\n\r\n`);
const frame = fc.oneof(
  fc.constantFrom("PING\r\n", "PONG\r\n"),
  fc.tuple(subject, payload).map(([s, p]) => `PUB ${s} ${p.length}\r\n${p}\r\n`),
  fc.tuple(subject, subject, payload).map(([s, r, p]) => `PUB ${s} ${r} ${p.length}\r\n${p}\r\n`),
  fc
    .tuple(subject, header, payload)
    .map(([s, h, p]) => `HPUB ${s} ${h.length} ${h.length + p.length}\r\n${h}${p}\r\n`),
  subject.map((s) => `SUB ${s} 7\r\n`),
  fc.jsonValue().map((value) => `CONNECT ${JSON.stringify({ value }).replaceAll(/[^\x20-\x7e]/g, "")}\r\n`),
);
const session = fc.array(frame, { minLength: 1, maxLength: 12 });
const cuts = fc.array(fc.nat(2000), { maxLength: 40 });
const WIDE = { lineBytes: 4096, headerBytes: 512, holdHeaders: true };

test("property: the chunks that a session comes in change nothing", () => {
  fc.assert(
    fc.property(session, cuts, fc.nat(3), (parts, places, dropped) => {
      const text = parts.join("");
      const judge = (described: string): Verdict => (described.length % 4 === dropped ? "drop" : "pass");
      assert.deepEqual(scan(text, places, judge, WIDE), scan(text, [], judge, WIDE));
    }),
  );
});

test("property: one frame is judged for each that was written, and those that pass go on unchanged", () => {
  fc.assert(
    fc.property(session, cuts, fc.nat(11), (parts, places, dropped) => {
      let at = -1;
      const judge = (): Verdict => ((at += 1) === dropped ? "drop" : "pass");
      const { out, frames, fault } = scan(parts.join(""), places, judge, WIDE);
      assert.equal(fault, null);
      assert.equal(frames.length, parts.length);
      assert.equal(out, parts.filter((_, index) => index !== dropped).join(""));
    }),
  );
});

test("property: garbage never throws, and what is forwarded is a beginning of what came", () => {
  const garbage = fc.oneof(
    payload,
    fc
      .array(fc.constantFrom("PUB ", "HPUB ", "a", " ", "0", "12", "\r\n", "\n", "\r", "PING", "SUB "), {
        maxLength: 30,
      })
      .map((parts) => parts.join("")),
  );
  fc.assert(
    fc.property(session, garbage, cuts, (parts, rubbish, places) => {
      const text = parts.join("") + rubbish;
      const { out } = scan(text, places, () => "pass", WIDE);
      assert.ok(text.startsWith(out));
    }),
  );
});
