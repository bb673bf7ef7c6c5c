/**
 * Stream retention: purges a stream by sequence up to what is certainly past its period, and says
 * how old its oldest message is.
 *
 * Messages are dated by marks of the retention clock (core/retention.ts); the broker's own stamps
 * follow the host's clock and only count within them.
 */
import { addMark, lastSequenceBefore, storedAtMs, type StreamMark } from "@bulkhead/core";
import type { StreamFacts, StreamStore } from "../bus/stream-store.ts";
import type { RetentionState } from "./retention-file.ts";

export interface StreamFinding {
  readonly removed: number;
  readonly sizeBytes: number;
  readonly oldestMs: number | null;
  readonly record: string;
}

export class StreamMarks {
  readonly #streams = new Map<string, { readonly created: string; readonly marks: readonly StreamMark[] }>();

  constructor(kept: RetentionState["streams"]) {
    for (const { stream, created, marks } of kept) this.#streams.set(stream, { created, marks });
  }

  /** A stream that was made anew has no past. */
  of({ stream, created }: Pick<StreamFacts, "stream" | "created">): readonly StreamMark[] {
    const known = this.#streams.get(stream);
    return known?.created === created ? known.marks : [];
  }

  note(facts: StreamFacts, nowMs: number): void {
    const mark = { sequence: facts.lastSequence, atMs: nowMs };
    const marks = addMark(this.of(facts), mark, facts.firstSequence);
    this.#streams.set(facts.stream, { created: facts.created, marks });
  }

  retain(streams: ReadonlySet<string>): void {
    for (const stream of this.#streams.keys()) if (!streams.has(stream)) this.#streams.delete(stream);
  }

  get kept(): RetentionState["streams"] {
    return [...this.#streams].map(([stream, { created, marks }]) => ({ stream, created, marks: [...marks] }));
  }
}

/** Null where there is no such stream. Throws as the broker's client does. */
export async function purgeStream(
  store: StreamStore,
  marks: StreamMarks,
  stream: string,
  nowMs: number,
  cutoffMs: number,
): Promise<StreamFinding | null> {
  const before = await store.facts(stream);
  if (before === null) return null;
  marks.note(before, nowMs);
  const through = lastSequenceBefore(marks.of(before), cutoffMs);
  const removed = through >= before.firstSequence ? await store.purge(stream, through) : 0;
  const facts = removed === 0 ? before : ((await store.facts(stream)) ?? before);
  const { firstSequence, firstStampMs, sizeBytes } = facts;
  return {
    removed,
    sizeBytes,
    oldestMs:
      firstStampMs === null
        ? null
        : storedAtMs({ sequence: firstSequence, stampMs: firstStampMs }, marks.of(facts)),
    record: `${stream}, sequence ${firstSequence}`,
  };
}

/** Purges what was stored before a moment, or all where it is null; returns how many messages went. */
export async function eraseStream(
  store: StreamStore,
  marks: StreamMarks,
  stream: string,
  beforeMs: number | null,
): Promise<number> {
  const facts = await store.facts(stream);
  if (facts === null) return 0;
  if (beforeMs === null) return store.purge(stream, facts.lastSequence);
  const known = marks.of(facts);
  return store.purge(
    stream,
    await store.lastSequence(facts, (message) => storedAtMs(message, known) < beforeMs),
  );
}
