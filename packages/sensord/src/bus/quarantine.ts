/**
 * Quarantine: which records could not be read, counted against their emitter, each once however
 * often it is read.
 *
 * Counts only grow and live as long as sensord does; of each emitter the newest positions are
 * remembered, which is what keeps a repeated query from counting twice.
 */
import type { Name } from "@bulkhead/schema";

export interface QuarantineCount {
  readonly count: number;
  /** The newest, oldest first. `by`: the instrument that reported it; null where we read it. */
  readonly newest: readonly {
    readonly sequence: number;
    readonly reason: string;
    readonly by: Name | null;
  }[];
}

const POSITIONS_KEPT = 10_000;
const NEWEST_KEPT = 20;
const EMPTY: QuarantineCount = { count: 0, newest: [] };

export class Quarantine {
  readonly #counts = new Map<Name, QuarantineCount>();
  readonly #positions = new Map<Name, Set<number>>();

  note(emitter: Name, sequence: number, reason: string, by: Name | null = null): void {
    const positions = this.#positions.get(emitter) ?? new Set();
    this.#positions.set(emitter, positions);
    if (positions.has(sequence)) return;
    positions.add(sequence);
    const [oldest] = positions; // a Set keeps the order of insertion
    if (positions.size > POSITIONS_KEPT && oldest !== undefined) positions.delete(oldest);
    const { count, newest } = this.of(emitter);
    const next = { sequence, reason: reason.slice(0, 200), by };
    this.#counts.set(emitter, { count: count + 1, newest: [...newest, next].slice(-NEWEST_KEPT) });
  }

  of(emitter: Name): QuarantineCount {
    return this.#counts.get(emitter) ?? EMPTY;
  }
}
