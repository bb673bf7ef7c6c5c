/**
 * Message journal: what became of the last messages between instruments, for people to look at and
 * to follow. Metadata alone; in memory, and bounded. The audit log keeps it for longer.
 */
import type { MessageOutcome, MessageQuery, MessageRecord } from "@bulkhead/schema";
import { SensordError } from "../error.ts";

const RECORDS_KEPT = 1000;
/** A reader that is further behind than this is let go, so that it cannot keep sensord's memory. */
const MOST_BEHIND = 10_000;

interface Follower {
  readonly waiting: MessageRecord[];
  wake: () => void;
  lost: boolean;
}

export type OutcomeCounts = Partial<Record<MessageOutcome, number>>;

export class MessageJournal {
  readonly #records: MessageRecord[] = [];
  readonly #counts = new Map<string, OutcomeCounts>();
  readonly #followers = new Set<Follower>();

  add(record: MessageRecord): void {
    this.#records.push(record);
    if (this.#records.length > RECORDS_KEPT) this.#records.shift();
    // What was not granted may name anything: it is counted as a refusal of its sender's.
    if (record.outcome !== "not-granted") {
      const key = keyOf(record);
      const counts = this.#counts.get(key) ?? {};
      counts[record.outcome] = (counts[record.outcome] ?? 0) + 1;
      this.#counts.set(key, counts);
    }
    for (const follower of this.#followers) {
      if (follower.waiting.length >= MOST_BEHIND) follower.lost = true;
      else follower.waiting.push(record);
      follower.wake();
    }
  }

  /** What became of the messages of one route, since sensord's start. */
  counts(route: Pick<MessageRecord, "from" | "to" | "verb">): OutcomeCounts {
    return { ...this.#counts.get(keyOf(route)) };
  }

  /**
   * The newest that match, oldest first, and with `follow` those that come until `signal`.
   * @throws SensordError `messages-behind` where the reader does not keep up.
   */
  async *read(
    { instrument, limit, follow }: MessageQuery,
    signal: AbortSignal,
  ): AsyncGenerator<MessageRecord, void, undefined> {
    const matches = ({ from, to }: MessageRecord): boolean =>
      instrument === undefined || from === instrument || to === instrument;
    const follower: Follower = { waiting: [], wake: () => undefined, lost: false };
    const past = this.#records.filter(matches).slice(-limit);
    if (follow) this.#followers.add(follower);
    const abort = (): void => follower.wake();
    signal.addEventListener("abort", abort);
    try {
      yield* past;
      if (!follow) return;
      while (!signal.aborted) {
        if (follower.lost)
          throw new SensordError("messages-behind", "messages came faster than they were read");
        const next = follower.waiting.shift();
        if (next === undefined) {
          const { promise, resolve } = Promise.withResolvers<void>();
          follower.wake = resolve;
          await promise;
        } else if (matches(next)) yield next;
      }
    } finally {
      this.#followers.delete(follower);
      signal.removeEventListener("abort", abort);
    }
  }
}

function keyOf({ from, to, verb }: Pick<MessageRecord, "from" | "to" | "verb">): string {
  return `${from} ${to} ${verb}`;
}
