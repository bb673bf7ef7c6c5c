/**
 * Message book: every message under way between two instruments, and what became of the last ones.
 *
 * Invariants: a message is under way only on a route that is granted; it is answered by its
 * recipient alone, once, within its deadline; whatever else ends it is told to its sender. It sees
 * subjects, sizes and one header, never a payload; what it holds is bounded.
 */
import {
  type MessageOutcome,
  type MessageRecord,
  MessageRefusal,
  type MessageRoute,
  Name,
  STATUS_REPLY_BYTES,
  subjects,
} from "@bulkhead/schema";

export interface MessageBookPorts {
  /** Answers a sender in the recipient's place. */
  tell(reply: string, refusal: MessageRefusal, words: string): void;
  onRecord(record: MessageRecord): void;
  /** Milliseconds of a clock that never goes back. */
  nowMs(): number;
}

/** Why the gate does not let a message or an answer through; null: it does. */
export type MessageFault = "not-granted" | "too-many" | "reply-in-use" | "not-asked" | "too-large" | null;

interface Pending {
  readonly route: MessageRoute;
  readonly reply: string;
  readonly time: string;
  readonly sentMs: number;
  readonly sizeBytes: number;
  readonly timer: NodeJS.Timeout;
}

/** Of one sender, under way at one time. */
const MOST_PENDING = 256;
/** Answers that the broker may still turn down. */
const ANSWERS_KEPT = 256;

export class MessageBook implements Disposable {
  readonly #ports: MessageBookPorts;
  readonly #pending = new Map<string, Pending>();
  readonly #pendingOf = new Map<Name, number>();
  readonly #answered = new Map<string, Pending>();
  #routes: ReadonlyMap<string, MessageRoute> = new Map();

  constructor(ports: MessageBookPorts) {
    this.#ports = ports;
  }

  /** Lets these through from now on; those that wait on another route end as `revoked`. */
  allow(routes: readonly MessageRoute[]): void {
    this.#routes = new Map(routes.map((route) => [subjectOf(route), route]));
    for (const pending of this.#pending.values()) {
      if (!this.#routes.has(subjectOf(pending.route)))
        this.#end(pending, "revoked", "the grant was taken back");
    }
  }

  /** Takes away what these do not hold, and adds nothing. */
  restrict(routes: readonly MessageRoute[]): void {
    const wanted = new Set(routes.map(subjectOf));
    this.allow([...this.#routes.values()].filter((route) => wanted.has(subjectOf(route))));
  }

  /** The broker forgets who may answer what when it reads new rules. */
  interrupt(): void {
    for (const pending of this.#pending.values()) {
      this.#end(pending, "interrupted", "the rules of the bus changed meanwhile");
    }
  }

  /** The recipient has no connection left. */
  gone(instrument: Name): void {
    for (const pending of this.#pending.values()) {
      if (pending.route.to === instrument) {
        this.#end(pending, "interrupted", `${instrument} lost its connection meanwhile`);
      }
    }
  }

  /** A message is about to go to the broker. */
  open(from: Name, subject: string, reply: string, sizeBytes: number): MessageFault {
    const route = this.#routes.get(subject);
    if (route?.from !== from) return "not-granted";
    if (this.#pending.has(reply) || this.#answered.has(reply)) return "reply-in-use";
    if (this.pendingOf(from) >= MOST_PENDING) return "too-many";
    const timer = setTimeout(
      () => this.#end(pending, "late", `${route.to} did not answer in time`),
      route.deadlineMs,
    );
    const time = new Date().toISOString();
    const pending: Pending = { route, reply, time, sentMs: this.#ports.nowMs(), sizeBytes, timer };
    this.#pending.set(reply, pending);
    this.#pendingOf.set(from, this.pendingOf(from) + 1);
    return null;
  }

  /** Messages of this sender that are under way. */
  pendingOf(from: Name): number {
    return this.#pendingOf.get(from) ?? 0;
  }

  /** Messages that are under way on a route. */
  pendingOn(route: MessageRoute): number {
    const subject = subjectOf(route);
    return [...this.#pending.values()].filter((pending) => subjectOf(pending.route) === subject).length;
  }

  /** An answer is about to go to the broker. `refusal`: what its header says, or null. */
  answer(by: Name, reply: string, refusal: string | null, sizeBytes: number): MessageFault {
    const pending = this.#pending.get(reply);
    if (pending?.route.to !== by) return "not-asked";
    if (pending.route.reply === "status" && sizeBytes > STATUS_REPLY_BYTES) {
      this.#end(pending, "failed", "the reply was to hold nothing, and was too large for that");
      return "too-large";
    }
    const said = refusal === null ? "answered" : (MessageRefusal.safeParse(refusal).data ?? "failed");
    this.#settle(pending, said, sizeBytes);
    this.#answered.set(reply, pending);
    const [oldest] = this.#answered.keys();
    if (this.#answered.size > ANSWERS_KEPT && oldest !== undefined) this.#answered.delete(oldest);
    return null;
  }

  /** The broker turned down what the gate let through: the sender shall not wait for it. */
  turnedDown(by: Name, reply: string): void {
    const pending = this.#answered.get(reply);
    if (pending?.route.to !== by) return;
    this.#answered.delete(reply);
    this.#record(pending, "interrupted", null);
    this.#ports.tell(reply, "interrupted", "the rules of the bus changed meanwhile");
  }

  /** Something came on a reply subject. Where nobody answered, it is the broker, which found no recipient. */
  delivered(reply: string): void {
    const pending = this.#pending.get(reply);
    if (pending !== undefined) this.#settle(pending, "not-running", null);
  }

  /** The gate let a message not through. */
  refused(from: Name, subject: string, sizeBytes: number): void {
    const [, to = "", sender = "", ...verb] = subject.split(".");
    this.#ports.onRecord({
      time: new Date().toISOString(),
      from,
      to: Name.safeParse(to).success && sender === from ? to : "?",
      verb: verb.join(".").slice(0, 64),
      sizeBytes,
      replyBytes: null,
      outcome: "not-granted",
      durationMs: 0,
    });
  }

  [Symbol.dispose](): void {
    for (const { timer } of this.#pending.values()) clearTimeout(timer);
    this.#pending.clear();
    this.#pendingOf.clear();
  }

  #end(pending: Pending, refusal: MessageRefusal, words: string): void {
    this.#settle(pending, refusal, null);
    this.#ports.tell(pending.reply, refusal, words);
  }

  #settle(pending: Pending, outcome: MessageOutcome, replyBytes: number | null): void {
    clearTimeout(pending.timer);
    this.#pending.delete(pending.reply);
    const { from } = pending.route;
    const left = this.pendingOf(from) - 1;
    if (left > 0) this.#pendingOf.set(from, left);
    else this.#pendingOf.delete(from);
    this.#record(pending, outcome, replyBytes);
  }

  #record(pending: Pending, outcome: MessageOutcome, replyBytes: number | null): void {
    const { route, time, sentMs, sizeBytes } = pending;
    const { from, to, verb } = route;
    const durationMs = Math.round(this.#ports.nowMs() - sentMs);
    this.#ports.onRecord({ time, from, to, verb, sizeBytes, replyBytes, outcome, durationMs });
  }
}

function subjectOf({ from, to, verb }: MessageRoute): string {
  return subjects.message(to, from, verb);
}
