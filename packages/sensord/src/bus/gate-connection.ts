/**
 * Gate connection: one instrument's connection, spliced to one of the broker's.
 *
 * Invariants: nothing reaches the broker that the judge did not pass; payloads are handed on as
 * the views of the chunks that they came in; a side that does not read makes the other side wait,
 * so that a connection holds a bounded amount of memory; whatever ends one side ends the other.
 */
import type { Socket } from "node:net";
import {
  CLIENT_GRAMMAR,
  type Frame,
  FrameScanner,
  type ScanFault,
  SERVER_GRAMMAR,
  type ServerOp,
  type Verdict,
} from "./control-line.ts";
import type { RefusalReason } from "./gate-counts.ts";
import { GateJudge, type JudgeContext } from "./gate-judge.ts";
import { renderInfo } from "./handshake.ts";
import type { MessageBook } from "./message-book.ts";
import type { TokenBucket } from "./token-bucket.ts";

export interface ConnectionContext extends JudgeContext {
  readonly book: Pick<MessageBook, "open" | "answer" | "refused" | "pendingOf" | "delivered" | "turnedDown">;
  readonly messages: TokenBucket;
  readonly bytes: TokenBucket;
  bytePrice(): number;
  /** Time that its traffic took of the one thread that all share. */
  readonly busyMs: TokenBucket;
}

/** Why the client is not read at the moment. */
const WAITS_FOR_INFO = 1;
const WAITS_FOR_BROKER = 2;
const WAITS_FOR_RATE = 4;

const UNDERSCORE = 0x5f;
/** The broker's lines are long where it tells of itself; they are not an instrument's doing. */
const SERVER_LINE_BYTES = 64 * 1024;
/** For a last word to the client to be read before its connection is destroyed. */
const LINGER_MS = 1000;

export class GateConnection {
  readonly #client: Socket;
  readonly #server: Socket;
  readonly #context: ConnectionContext;
  readonly #judge: GateJudge;
  readonly #timers = new Set<NodeJS.Timeout>();
  readonly #handshake: NodeJS.Timeout;
  #stall: NodeJS.Timeout | null = null;
  #waits = WAITS_FOR_INFO;
  #ended = false;

  constructor(client: Socket, server: Socket, context: ConnectionContext, onClose: () => void) {
    this.#client = client;
    this.#server = server;
    this.#context = context;
    this.#judge = new GateJudge(context);
    client.pause();
    server.setNoDelay(true);
    this.#handshake = this.#after(context.limits.handshakeMs, () => {
      this.#refuseAndEnd("handshake", "no CONNECT in time", "Authentication Timeout");
    });
    this.#wireClient(onClose);
    this.#wireServer();
  }

  /** Ends both sides at once. */
  destroy(): void {
    this.#ended = true;
    for (const timer of this.#timers) clearTimeout(timer);
    this.#client.destroy();
    this.#server.destroy();
  }

  #wireClient(onClose: () => void): void {
    const scanner = new FrameScanner(
      CLIENT_GRAMMAR,
      { ...this.#context.limits, holdHeaders: true },
      (frame) => this.#judge.judge(frame),
    );
    const forward = (bytes: Buffer): void => void this.#server.write(bytes);
    this.#client.on("data", (chunk: Buffer) => {
      if (this.#ended) return;
      const before = this.#judge.frames;
      const beganMs = this.#context.nowMs();
      this.#server.cork();
      const fault = scanner.push(chunk, forward);
      this.#server.uncork();
      if (this.#judge.connected) clearTimeout(this.#handshake);
      this.#answer(this.#judge.takeAnswers());
      if (fault !== null) return this.#endByFault(fault);
      this.#payForRate(this.#judge.frames - before, chunk.length, this.#context.nowMs() - beganMs);
      if (this.#server.writableNeedDrain) this.#wait(WAITS_FOR_BROKER);
    });
    this.#client.on("drain", () => {
      if (this.#stall !== null) clearTimeout(this.#stall);
      this.#stall = null;
      this.#server.resume();
    });
    // An error is followed by the close, which is all that matters here.
    this.#client.on("error", () => undefined);
    this.#client.on("end", () => this.#server.end());
    this.#client.on("close", () => {
      this.#server.destroySoon();
      this.#after(LINGER_MS, () => this.destroy());
      onClose();
    });
  }

  #wireServer(): void {
    const scanner = new FrameScanner(
      SERVER_GRAMMAR,
      { lineBytes: SERVER_LINE_BYTES, headerBytes: 0, holdHeaders: false },
      (frame) => this.#fromBroker(frame),
    );
    const forward = (bytes: Buffer): void => void this.#client.write(bytes);
    this.#server.on("data", (chunk: Buffer) => {
      if (this.#ended) return;
      this.#client.cork();
      const fault = scanner.push(chunk, forward);
      this.#client.uncork();
      if (fault !== null) return this.destroy();
      if (!this.#client.writableNeedDrain) return;
      this.#server.pause();
      this.#stall ??= this.#after(this.#context.limits.stallMs, () => this.#endStalled());
    });
    this.#server.on("drain", () => this.#goOn(WAITS_FOR_BROKER));
    // An error is followed by the close.
    this.#server.on("error", () => undefined);
    this.#server.on("close", () => {
      // The broker gives up on one who does not read, too, and may do so first.
      if (this.#stall === null) this.#endClient();
      else this.#endStalled();
    });
  }

  #endStalled(): void {
    if (this.#ended) return;
    this.#context.counts.refuse("slow-reader", "did not read what it was sent");
    this.destroy();
  }

  #fromBroker(frame: Frame<ServerOp>): Verdict {
    switch (frame.op) {
      case "msg":
      case "hmsg":
        this.#context.counts.delivered += 1;
        this.#noteReply(frame);
        return "pass";
      case "info": {
        const info = renderInfo(frame.data.toString("utf8", frame.textStart, frame.textEnd));
        this.#goOn(WAITS_FOR_INFO);
        return info;
      }
      case "err": {
        const text = frame.data.toString("latin1", frame.textStart, frame.textEnd);
        this.#context.counts.refuse(reasonOf(text), text);
        this.#noteTurnedDown(text);
        return "pass";
      }
      case "ping":
      case "pong":
      case "ok":
        return "pass";
    }
  }

  /** While it waits for answers, what comes to its inbox is looked up. */
  #noteReply({ data, argumentBounds: bounds }: Frame<ServerOp>): void {
    const { book, name } = this.#context;
    if (book.pendingOf(name) === 0 || data[bounds[0] ?? 0] !== UNDERSCORE) return;
    book.delivered(data.toString("latin1", bounds[0], bounds[1]));
  }

  #noteTurnedDown(text: string): void {
    const reply = /Violation for Publish to "(_INBOX\.[^"]+)"/i.exec(text)?.[1];
    if (reply !== undefined) this.#context.book.turnedDown(this.#context.name, reply);
  }

  /** Over its rate, the instrument waits: it is not read until it is within it again. */
  #payForRate(messages: number, bytes: number, busyMs: number): void {
    const nowMs = this.#context.nowMs();
    const waitMs = Math.max(
      this.#context.messages.take(messages, nowMs),
      this.#context.bytes.take(bytes * this.#context.bytePrice(), nowMs),
      this.#context.busyMs.take(busyMs, nowMs),
    );
    if (waitMs === 0) return;
    this.#context.counts.throttled += 1;
    this.#context.counts.throttledMs += waitMs;
    this.#wait(WAITS_FOR_RATE);
    this.#after(waitMs, () => this.#goOn(WAITS_FOR_RATE));
  }

  #wait(reason: number): void {
    this.#waits |= reason;
    this.#client.pause();
  }

  #goOn(reason: number): void {
    this.#waits &= ~reason;
    if (this.#waits === 0) this.#client.resume();
  }

  /** A client that does not read its errors gets none; they are counted all the same. */
  #answer(text: string): void {
    if (text !== "" && !this.#client.writableNeedDrain) this.#client.write(text);
  }

  #endByFault(fault: ScanFault): void {
    switch (fault) {
      case "stopped":
        return this.#endClient();
      case "line-too-long":
      case "header-too-large":
        return this.#refuseAndEnd("oversized", fault, "Maximum Control Line Exceeded");
      case "unknown-operation":
        return this.#refuseAndEnd("protocol", fault, "Unknown Protocol Operation");
      case "bad-arguments":
      case "bad-character":
      case "unterminated-payload":
        return this.#refuseAndEnd("protocol", fault, "Parser Error");
    }
  }

  #refuseAndEnd(reason: RefusalReason, detail: string, answer: string): void {
    this.#context.counts.refuse(reason, detail);
    this.#answer(`-ERR '${answer}'\r\n`);
    this.#endClient();
  }

  /** Lets the client read what was written to it, and no longer. */
  #endClient(): void {
    this.#ended = true;
    this.#server.destroy();
    this.#client.destroySoon();
    this.#after(LINGER_MS, () => this.destroy());
  }

  #after(ms: number, act: () => void): NodeJS.Timeout {
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      act();
    }, ms);
    this.#timers.add(timer);
    return timer.unref();
  }
}

/** What the broker's error is about. Source: nats-server, errors.go. */
function reasonOf(text: string): RefusalReason {
  if (/Violation for Subscription/i.test(text)) return "subscribe-subject";
  if (/with Reply of/i.test(text)) return "reply-subject";
  if (/Permissions Violation/i.test(text)) return "publish-subject";
  if (/maximum subscriptions/i.test(text)) return "subscriptions";
  if (/Maximum (Payload|Control Line)/i.test(text)) return "oversized";
  if (/Slow Consumer/i.test(text)) return "slow-reader";
  return "broker";
}
