/**
 * Gate rules: one instrument's permissions, made ready to be asked for each message without
 * making a string of its subject.
 *
 * Invariants: the same permissions that the broker enforces, so that what is refused costs the
 * broker nothing; whether an answer was asked for is the broker's to say (`allow_responses`).
 */
import type { BusUser } from "@bulkhead/core";
import { type Name, subjects } from "@bulkhead/schema";
import type { GateCounts, SubjectCounter } from "./gate-counts.ts";

/** A subject, or the literal part of a pattern that ends in `>`. */
export interface PublishRule {
  readonly bytes: Buffer;
  readonly counter: SubjectCounter;
  /** A report to the platform has a budget of its own, a delivery's parts have its window; messages and answers are kept book of. */
  readonly kind: "report" | "delivery" | "message" | "answer" | "other";
}

const INBOX = "_INBOX.";
const STAR = 0x2a;
const GREATER = 0x3e;
const DOT = 0x2e;

export class GateRules {
  readonly #exact = new Map<number, readonly PublishRule[]>();
  readonly #prefixes: readonly PublishRule[];
  readonly #subscribe: readonly string[];
  readonly #inbox: Buffer;
  #last: PublishRule | null = null;

  constructor(instrument: Name, user: Pick<BusUser, "publish" | "subscribe">, counts: GateCounts) {
    const prefixes: PublishRule[] = [];
    for (const subject of user.publish) {
      const pattern = subject.endsWith(".>");
      const bytes = Buffer.from(pattern ? subject.slice(0, -1) : subject);
      const rule = { bytes, counter: counts.counter(subject), kind: kindOf(subject) };
      if (pattern) prefixes.push(rule);
      else {
        const hash = hashOf(bytes, 0, bytes.length);
        this.#exact.set(hash, [...(this.#exact.get(hash) ?? []), rule]);
      }
    }
    this.#prefixes = [
      ...prefixes,
      { bytes: Buffer.from(INBOX), counter: counts.counter(`${INBOX}>`), kind: "answer" },
    ];
    this.#subscribe = user.subscribe.map((pattern) => pattern.replace(/>$/, ""));
    this.#inbox = Buffer.from(`${subjects.inbox(instrument)}.`);
  }

  /** The rule that lets `data[start, end)` be published to, or null. */
  publish(data: Buffer, start: number, end: number): PublishRule | null {
    const last = this.#last;
    if (last !== null && isSame(last.bytes, data, start, end)) return last;
    for (const rule of this.#exact.get(hashOf(data, start, end)) ?? []) {
      if (isSame(rule.bytes, data, start, end)) {
        this.#last = rule;
        return rule;
      }
    }
    return this.#prefixes.find(({ bytes }) => isBelow(bytes, data, start, end)) ?? null;
  }

  /** A reply subject is one below the instrument's own inbox: answers go to it, and nowhere else. */
  allowsReply(data: Buffer, start: number, end: number): boolean {
    return isBelow(this.#inbox, data, start, end);
  }

  /** A subscription may be a pattern, within what is allowed. */
  allowsSubscription(subject: string): boolean {
    return this.#subscribe.some((allowed) => subject.startsWith(allowed) && subject.length > allowed.length);
  }
}

function kindOf(subject: string): PublishRule["kind"] {
  if (subject.startsWith("svc.")) return subject.endsWith(".>") ? "delivery" : "report";
  return subject.startsWith("msg.") ? "message" : "other";
}

function isSame(bytes: Buffer, data: Buffer, start: number, end: number): boolean {
  return bytes.length === end - start && startsWith(bytes, data, start);
}

/** Literal tokens below the prefix: no wildcard and no empty token. */
function isBelow(prefix: Buffer, data: Buffer, start: number, end: number): boolean {
  if (end - start <= prefix.length || !startsWith(prefix, data, start)) return false;
  let before = DOT;
  for (let at = start + prefix.length; at < end; at += 1) {
    const byte = data[at] ?? 0;
    if (byte === STAR || byte === GREATER || (byte === DOT && before === DOT)) return false;
    before = byte;
  }
  return before !== DOT;
}

function startsWith(bytes: Buffer, data: Buffer, start: number): boolean {
  for (let at = 0; at < bytes.length; at += 1) {
    if (bytes[at] !== data[start + at]) return false;
  }
  return true;
}

/** FNV-1a, 32 bits. */
function hashOf(data: Buffer, start: number, end: number): number {
  let hash = 0x811c9dc5;
  for (let at = start; at < end; at += 1) {
    hash = Math.imul(hash ^ (data[at] ?? 0), 0x01000193);
  }
  return hash;
}
