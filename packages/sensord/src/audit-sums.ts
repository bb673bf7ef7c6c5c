/**
 * Audit sums: what happens again and again is told to the audit at once when it happens first, and its
 * repeats as one entry with their count once a period, so that whoever polls, or tries in vain, writes
 * a line and not the disk full.
 *
 * Invariants: every occurrence is in exactly one entry's `count`, also at a regular end; a killed
 * sensord loses the repeats of one period. What is kept in memory is bounded.
 */
import type { AuditEntry } from "@bulkhead/schema";

export interface AuditEntries {
  append(kind: string, subject: string, detail: AuditEntry["detail"]): void;
}

export interface Occurrence {
  readonly kind: string;
  readonly subject: string;
  /** What tells it apart in any case: few different ones, and none that an instrument or a caller makes up. */
  readonly facts: AuditEntry["detail"];
  /** What tells it apart too, until a period has seen too many different ones. */
  readonly finer?: AuditEntry["detail"];
  /** Added up. */
  readonly amounts?: Readonly<Record<string, number>>;
  /** How often it happened; 1 where not said. */
  readonly count?: number;
}

/** Repeats of one thing in this period; none yet where `count` is 0. */
interface Repeats {
  readonly detail: AuditEntry["detail"];
  readonly amounts: Map<string, number>;
  count: number;
  /** RFC 3339. */
  first: string;
  last: string;
}

/** Occurrences of one kind, subject and facts, apart by what is finer. */
interface Group {
  readonly kind: string;
  readonly subject: string;
  readonly apart: Map<string, Repeats>;
}

const PERIOD_MS = 5 * 60_000;
/** Finer ones that a group tells apart in a period; all further ones are one, called `various`. */
const MOST_APART = 50;

export class AuditSums implements Disposable {
  readonly #entries: AuditEntries;
  readonly #timer: NodeJS.Timeout;
  readonly #groups = new Map<string, Group>();

  constructor(entries: AuditEntries, periodMs: number = PERIOD_MS) {
    this.#entries = entries;
    this.#timer = setInterval(() => this.#tell(), periodMs);
    this.#timer.unref();
  }

  add({ kind, subject, facts, finer = {}, amounts = {}, count = 1 }: Occurrence): void {
    const { apart } = this.#groupOf(kind, subject, facts);
    const wanted = JSON.stringify(finer);
    const isOver = !apart.has(wanted) && apart.size >= MOST_APART;
    const key = isOver ? "various" : wanted;
    const detail = { ...facts, ...(isOver ? { various: true } : finer) };
    const repeats = apart.get(key);
    if (repeats === undefined) {
      apart.set(key, { detail, amounts: new Map(), count: 0, first: "", last: "" });
      this.#entries.append(kind, subject, { ...detail, ...amounts, count });
      return;
    }
    repeats.last = new Date().toISOString();
    if (repeats.count === 0) repeats.first = repeats.last;
    repeats.count += count;
    for (const [name, amount] of Object.entries(amounts)) {
      repeats.amounts.set(name, (repeats.amounts.get(name) ?? 0) + amount);
    }
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
    this.#tell();
  }

  #groupOf(kind: string, subject: string, facts: AuditEntry["detail"]): Group {
    const key = JSON.stringify([kind, subject, facts]);
    const group = this.#groups.get(key) ?? { kind, subject, apart: new Map<string, Repeats>() };
    this.#groups.set(key, group);
    return group;
  }

  /** What goes on is known in the next period too; what did not come again is forgotten. */
  #tell(): void {
    for (const [key, { kind, subject, apart }] of this.#groups) {
      for (const [finer, repeats] of apart) {
        const { detail, amounts, count, first, last } = repeats;
        if (count === 0) {
          apart.delete(finer);
          continue;
        }
        this.#entries.append(kind, subject, {
          ...detail,
          ...Object.fromEntries(amounts),
          count,
          first,
          last,
        });
        amounts.clear();
        repeats.count = 0;
      }
      if (apart.size === 0) this.#groups.delete(key);
    }
  }
}
