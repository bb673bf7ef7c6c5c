/**
 * Gate judge: decides about each frame that an instrument sends: forward, refuse, or end.
 *
 * Invariants: the first operation is the one CONNECT, and gets the platform's credentials; every
 * refusal is counted. It answers in the words of nats-server, so that client libraries take a
 * refused message as what it is and keep the connection. It does no I/O.
 */
import { PLATFORM_NAME, REFUSED_HEADER, subjects } from "@bulkhead/schema";
import type { ClientOp, Frame, Verdict } from "./control-line.ts";
import type { GateCounts, RefusalReason } from "./gate-counts.ts";
import type { GateRules } from "./gate-rules.ts";
import { type Credentials, renderConnect } from "./handshake.ts";
import { findHeaderFault, headerValue } from "./header-block.ts";
import type { GateLimits } from "./limits.ts";
import type { MessageBook } from "./message-book.ts";
import type { DeliveryDesk } from "../resources/delivery-desk.ts";
import type { TokenBucket } from "./token-bucket.ts";

export interface JudgeContext {
  readonly name: string;
  readonly limits: GateLimits;
  readonly counts: GateCounts;
  readonly book: Pick<MessageBook, "open" | "answer" | "refused">;
  readonly deliveries: Pick<DeliveryDesk, "admit">;
  /** As they are now: grants change while connections live. */
  rules(): GateRules;
  credentials(): Credentials;
  readonly reports: TokenBucket;
  readonly refusals: TokenBucket;
  nowMs(): number;
}

const PLATFORM_INBOX = `${subjects.inbox(PLATFORM_NAME)}.`;
/** Error lines that are kept for one chunk; the rest is only counted. */
const ANSWERS_KEPT = 16;

export class GateJudge {
  readonly #context: JudgeContext;
  #connected = false;
  #answers: string[] = [];
  /** Frames judged so far. */
  frames = 0;

  constructor(context: JudgeContext) {
    this.#context = context;
  }

  get connected(): boolean {
    return this.#connected;
  }

  /** Error lines for the client since they were last taken. */
  takeAnswers(): string {
    const text = this.#answers.join("");
    this.#answers = [];
    return text;
  }

  judge(frame: Frame<ClientOp>): Verdict {
    this.frames += 1;
    if (!this.#connected) return this.#first(frame);
    switch (frame.op) {
      case "pub":
      case "hpub":
        return this.#publish(frame);
      case "sub":
        return this.#subscribe(frame);
      case "unsub":
      case "ping":
      case "pong":
        return "pass";
      case "connect":
        // A second CONNECT would change the user that the broker takes this connection for.
        return this.#end("second-connect", "CONNECT", "Unknown Protocol Operation");
    }
  }

  /** Counts it and answers; ends the connection of one that has sent too much of it. */
  #refuse(reason: RefusalReason, detail: string, answer: string): Verdict {
    this.#context.counts.refuse(reason, detail);
    if (!this.#context.refusals.tryTake(this.#context.nowMs())) {
      return this.#end("refusal-rate", detail, "Permissions Violation, too many");
    }
    this.#answer(answer);
    return "drop";
  }

  #end(reason: RefusalReason, detail: string, answer: string): "stop" {
    this.#context.counts.refuse(reason, detail);
    this.#answers.splice(ANSWERS_KEPT - 1);
    this.#answer(answer);
    return "stop";
  }

  #answer(text: string): void {
    if (this.#answers.length < ANSWERS_KEPT) this.#answers.push(`-ERR '${text}'\r\n`);
  }

  #first(frame: Frame<ClientOp>): Verdict {
    if (frame.op !== "connect") {
      return this.#end("handshake", `${frame.op} before CONNECT`, "Authorization Violation");
    }
    const text = frame.data.toString("utf8", frame.textStart, frame.textEnd);
    const rendered = renderConnect(text, this.#context.name, this.#context.credentials());
    if (rendered === null) return this.#end("protocol", "CONNECT without JSON", "Parser Error");
    this.#connected = true;
    return rendered;
  }

  #publish(frame: Frame<ClientOp>): Verdict {
    const { limits, counts } = this.#context;
    const { data, argumentBounds: bounds } = frame;
    const start = bounds[0] ?? 0;
    const end = bounds[1] ?? 0;
    if (frame.totalBytes - frame.headerBytes > limits.payloadBytes) {
      return this.#end("oversized", subjectOf(frame), "Maximum Payload Violation");
    }
    const rules = this.#context.rules();
    const rule = rules.publish(data, start, end);
    if (rule === null) {
      const subject = subjectOf(frame);
      if (subject.startsWith("msg."))
        this.#context.book.refused(this.#context.name, subject, frame.totalBytes);
      return this.#refuse("publish-subject", subject, publishViolation(subject));
    }
    const hasReply = frame.argumentCount === (frame.op === "pub" ? 3 : 4);
    if (hasReply && !rules.allowsReply(data, bounds[2] ?? 0, bounds[3] ?? 0)) {
      const reply = quotable(data.toString("latin1", bounds[2], bounds[3]));
      const answer = `Permissions Violation for Publish with Reply of "${reply}"`;
      return this.#refuse("reply-subject", `${subjectOf(frame)} reply ${reply}`, answer);
    }
    if (frame.op === "hpub") {
      const { headerStart } = frame;
      const fault = findHeaderFault(data, headerStart, headerStart + frame.headerBytes);
      if (fault !== null) {
        const subject = subjectOf(frame);
        return this.#refuse("header", `${subject} ${fault}`, publishViolation(subject, fault));
      }
    }
    if (rule.kind === "message") {
      const verdict = this.#message(frame, hasReply);
      if (verdict !== "pass") return verdict;
    }
    if (rule.kind === "answer") {
      const verdict = this.#reply(frame);
      if (verdict !== "pass") return verdict;
    }
    if (rule.kind === "delivery") {
      const verdict = this.#delivery(frame, hasReply);
      if (verdict !== "pass") return verdict;
    }
    if (rule.kind === "report") {
      const subject = subjectOf(frame);
      if (frame.totalBytes > limits.reportBytes) {
        return this.#refuse("oversized", subject, publishViolation(subject, "report too large"));
      }
      // Not through #refuse: a tool in trouble may log too much, and is not cut off for that.
      if (!this.#context.reports.tryTake(this.#context.nowMs())) {
        counts.refuse("report-rate", subject);
        this.#answer(publishViolation(subject, "too many reports"));
        return "drop";
      }
    }
    rule.counter.count += 1;
    return "pass";
  }

  /** One that nobody could be told of is none: without a reply subject it is refused. */
  #message(frame: Frame<ClientOp>, hasReply: boolean): Verdict {
    const { book, name } = this.#context;
    const subject = subjectOf(frame);
    if (!hasReply) {
      book.refused(name, subject, frame.totalBytes);
      return this.#refuse(
        "message",
        `${subject} without a reply subject`,
        publishViolation(subject, "no reply subject"),
      );
    }
    const { data, argumentBounds: bounds } = frame;
    const reply = data.toString("latin1", bounds[2], bounds[3]);
    const fault = book.open(name, subject, reply, frame.totalBytes);
    if (fault === null) return "pass";
    book.refused(name, subject, frame.totalBytes);
    return this.#refuse("message", `${subject} ${fault}`, publishViolation(subject, fault));
  }

  /** No more of a delivery is on its way than its window holds: what is not answered yet is in sensord's memory. */
  #delivery(frame: Frame<ClientOp>, hasReply: boolean): Verdict {
    const subject = subjectOf(frame);
    const fault = hasReply ? this.#context.deliveries.admit(this.#context.name, subject) : "no reply subject";
    if (fault === null) return "pass";
    return this.#refuse("delivery", `${subject} ${fault}`, publishViolation(subject, fault));
  }

  /** The platform's own questions are between it and the broker. */
  #reply(frame: Frame<ClientOp>): Verdict {
    const { data, argumentBounds: bounds, headerStart, headerBytes } = frame;
    const subject = data.toString("latin1", bounds[0], bounds[1]);
    if (subject.startsWith(PLATFORM_INBOX)) return "pass";
    const refusal =
      headerBytes === 0 ? null : headerValue(data, headerStart, headerStart + headerBytes, REFUSED_HEADER);
    const fault = this.#context.book.answer(this.#context.name, subject, refusal, frame.totalBytes);
    if (fault === null) return "pass";
    const shown = quotable(subject);
    if (fault === "too-large") return this.#refuse("oversized", shown, publishViolation(shown, fault));
    return this.#refuse("publish-subject", shown, publishViolation(shown));
  }

  #subscribe(frame: Frame<ClientOp>): Verdict {
    const subject = subjectOf(frame);
    if (this.#context.rules().allowsSubscription(subject)) return "pass";
    const answer = `Permissions Violation for Subscription to "${subject}"`;
    return this.#refuse("subscribe-subject", subject, answer);
  }
}

function publishViolation(subject: string, why?: string): string {
  return `Permissions Violation for Publish to "${subject}"${why === undefined ? "" : ` (${why})`}`;
}

function subjectOf({ data, argumentBounds }: Frame<ClientOp>): string {
  return quotable(data.toString("latin1", argumentBounds[0], argumentBounds[1]));
}

/** What can stand within quotes in an error line. */
function quotable(text: string): string {
  return text.slice(0, 200).replaceAll(/[^\x21-\x7e]|['"]/g, "?");
}
