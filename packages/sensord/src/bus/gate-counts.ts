/**
 * Gate counts: what one instrument sent over the bus, subject by subject, and what was refused.
 *
 * Counters only grow, and live as long as sensord does. They hold no payload.
 */

export const REFUSAL_REASONS = [
  /** Published to, or subscribed to, what it has no permission for. */
  "publish-subject",
  "subscribe-subject",
  /** A reply subject that is not under its own inbox. */
  "reply-subject",
  /** A message without a reply subject, with one that is in use, or one too many at a time. */
  "message",
  /** A part of a delivery that is not there, or one too many at a time. */
  "delivery",
  "header",
  "oversized",
  /** Not the NATS protocol, or not in the strict form that the gate reads. */
  "protocol",
  "second-connect",
  "handshake",
  "connections",
  "subscriptions",
  "report-rate",
  /** Closed for sending too much that had to be refused. */
  "refusal-rate",
  "slow-reader",
  /** A report or greeting that does not have its schema. */
  "report-schema",
  /** The broker said no for another reason. */
  "broker",
] as const;
export type RefusalReason = (typeof REFUSAL_REASONS)[number];

export interface Refusal {
  /** RFC 3339. */
  readonly at: string;
  readonly reason: RefusalReason;
  /** Printable, at most 120 characters. */
  readonly detail: string;
}

export interface InstrumentCounts {
  /** Messages let through by subject; answers and acknowledgements by pattern. */
  readonly published: Readonly<Record<string, number>>;
  readonly delivered: number;
  readonly refused: number;
  readonly refusedBy: Readonly<Partial<Record<RefusalReason, number>>>;
  /** The newest refusals, oldest first. */
  readonly refusals: readonly Refusal[];
  /** How often and for how long in all the gate made this instrument wait, for its rate. */
  readonly throttled: number;
  readonly throttledMs: number;
  readonly connections: number;
}

export interface SubjectCounter {
  count: number;
}

const REFUSALS_KEPT = 50;
const DETAIL_CHARS = 120;

export class GateCounts {
  readonly #published = new Map<string, SubjectCounter>();
  readonly #refusedBy = new Map<RefusalReason, number>();
  readonly #refusals: Refusal[] = [];
  delivered = 0;
  throttled = 0;
  throttledMs = 0;
  connections = 0;
  readonly #onRefused: (reason: RefusalReason) => void;

  constructor(onRefused: (reason: RefusalReason) => void = () => undefined) {
    this.#onRefused = onRefused;
  }

  /** The counter of a subject or pattern, the same each time. */
  counter(subject: string): SubjectCounter {
    const former = this.#published.get(subject);
    if (former !== undefined) return former;
    const counter = { count: 0 };
    this.#published.set(subject, counter);
    return counter;
  }

  refuse(reason: RefusalReason, detail: string): void {
    this.#refusedBy.set(reason, (this.#refusedBy.get(reason) ?? 0) + 1);
    this.#refusals.push({
      at: new Date().toISOString(),
      reason,
      detail: printable(detail.slice(0, DETAIL_CHARS)),
    });
    if (this.#refusals.length > REFUSALS_KEPT) this.#refusals.shift();
    this.#onRefused(reason);
  }

  /** Forgets the refusals of before this moment (milliseconds since 1970); the counts stay. */
  forget(beforeMs: number): number {
    const kept = this.#refusals.filter(({ at }) => Date.parse(at) >= beforeMs);
    const forgotten = this.#refusals.length - kept.length;
    this.#refusals.splice(0, this.#refusals.length, ...kept);
    return forgotten;
  }

  snapshot(): InstrumentCounts {
    return {
      published: Object.fromEntries(
        [...this.#published].flatMap(([subject, { count }]) => (count > 0 ? [[subject, count]] : [])),
      ),
      delivered: this.delivered,
      refused: [...this.#refusedBy.values()].reduce((sum, count) => sum + count, 0),
      refusedBy: Object.fromEntries(this.#refusedBy),
      refusals: [...this.#refusals],
      throttled: this.throttled,
      throttledMs: this.throttledMs,
      connections: this.connections,
    };
  }
}

/** Control and non-ASCII characters become `?`: what an instrument wrote may reach a terminal. */
function printable(text: string): string {
  return text.replaceAll(/[^\x20-\x7e]/g, "?");
}
