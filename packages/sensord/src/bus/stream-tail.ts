/**
 * Stream tail: the newest messages of streams, merged by the time they were stored, and then
 * those that come.
 *
 * Invariants: read through ordered consumers, which leave nothing in the broker and begin again by
 * themselves where the connection or the broker was lost; memory does not grow with the size of
 * what is read: a first pass without payloads finds out where to begin.
 */
import {
  AckPolicy,
  type Consumer,
  DeliverPolicy,
  type JetStreamClient,
  type JetStreamManager,
  type JsMsg,
} from "@nats-io/jetstream";
import { nanos } from "@nats-io/transport-node";
import { describeError, type Log } from "../log.ts";
import { pause } from "../pause.ts";

export interface TailSource {
  readonly stream: string;
  readonly filterSubject: string;
}

export interface TailQuery {
  /** At most so many of what is stored: the newest of all sources together. */
  readonly limit: number;
  /** Only what was stored at or after it; milliseconds since the epoch. */
  readonly sinceMs: number | null;
}

/** The newest messages of one source, and the last of its stream when it was asked. */
interface Window {
  readonly source: TailSource;
  readonly times: readonly { readonly sequence: number; readonly storedMs: number }[];
  readonly lastSequence: number;
}

/** What a reader is ahead of its caller: records are small, and a few of the largest fit too. */
const FOLLOW_BYTES = 4 * 1024 * 1024;
/** A pull that was lost with the broker is noticed after two heartbeats that did not come. */
const FOLLOW_MS = 10_000;
const FOLLOW_HEARTBEAT_MS = 1000;
/** Of the largest size, well below what the broker lets wait for one connection. */
const FETCH_RECORDS = 16;
const FETCH_HEADERS = 1000;
const FETCH_MS = 2000;
/** A range that holds at most so many times the messages that are wanted is narrow enough. */
const WIDEST = 3;
const RETRY_MS = 500;
/** JetStream API: stream not found. */
const STREAM_NOT_FOUND = 10059;

export class StreamTail {
  readonly #jsm: JetStreamManager;
  readonly #js: JetStreamClient;
  readonly #log: Log;

  constructor(jsm: JetStreamManager, log: Log) {
    this.#jsm = jsm;
    this.#js = jsm.jetstream();
    this.#log = log;
  }

  /**
   * What is stored now, oldest first. `ends` is told the last sequence of each stream that was
   * looked at, for `follow` to go on after it. A stream that is not there has nothing.
   */
  async *newest(
    sources: readonly TailSource[],
    query: TailQuery,
    ends: Map<string, number>,
    signal: AbortSignal,
  ): AsyncGenerator<JsMsg, void, undefined> {
    const windows = (await Promise.all(sources.map((source) => this.#window(source, query)))).filter(
      (window) => window !== null,
    );
    for (const { source, lastSequence } of windows) ends.set(source.stream, lastSequence);
    const chosen = windows
      .flatMap((window) => window.times.map((time) => ({ ...time, window })))
      .toSorted((a, b) => a.storedMs - b.storedMs || a.sequence - b.sequence)
      .slice(-query.limit);
    const readers = new Map<Window, AsyncGenerator<JsMsg, void, undefined>>();
    try {
      for (const { window, sequence } of chosen) {
        signal.throwIfAborted();
        const reader = readers.get(window) ?? this.#read(window.source, sequence, false);
        readers.set(window, reader);
        const { value } = await reader.next();
        // Retention may have taken some meanwhile; what is newer than the window is follow's.
        if (value !== undefined && value.seq <= window.lastSequence) yield value;
      }
    } finally {
      for (const reader of readers.values()) await reader.return();
    }
  }

  /** What comes after a sequence, until `signal` is aborted or the stream is removed. */
  async *follow(
    source: TailSource,
    afterSequence: number,
    signal: AbortSignal,
  ): AsyncGenerator<JsMsg, void, undefined> {
    let next = afterSequence + 1;
    while (!signal.aborted) {
      try {
        await using stack = new AsyncDisposableStack();
        const consumer = await this.#consumer(source, next, false);
        stack.defer(() => discard(consumer));
        const messages = await consumer.consume({
          max_bytes: FOLLOW_BYTES,
          expires: FOLLOW_MS,
          idle_heartbeat: FOLLOW_HEARTBEAT_MS,
        });
        const stop = (): void => messages.stop();
        signal.addEventListener("abort", stop, { once: true });
        stack.defer(async () => {
          signal.removeEventListener("abort", stop);
          await messages.close();
        });
        for await (const message of messages) {
          next = message.seq + 1;
          yield message;
        }
      } catch (error) {
        if (signal.aborted || isStreamGone(error)) return;
        const { stream } = source;
        this.#log.info("reading a stream begins again", { stream, ...describeError(error) });
      }
      await pause(RETRY_MS, signal);
    }
  }

  /** Sequence and time of every message of a range, oldest first, without payloads. */
  async *times(
    stream: string,
    firstSequence: number,
    lastSequence: number,
  ): AsyncGenerator<{ readonly sequence: number; readonly storedMs: number }, void, undefined> {
    if (firstSequence > lastSequence) return;
    for await (const message of this.#read({ stream, filterSubject: ">" }, firstSequence, true)) {
      if (message.seq > lastSequence) return;
      yield { sequence: message.seq, storedMs: storedMs(message) };
      if (message.seq === lastSequence) return;
    }
  }

  async #window(source: TailSource, query: TailQuery): Promise<Window | null> {
    const { state } = await this.#jsm.streams.info(source.stream).catch((error: unknown) => {
      if (isStreamGone(error)) return { state: null };
      throw error;
    });
    if (state === null) return null;
    const empty = { source, times: [], lastSequence: state.last_seq };
    if (state.messages === 0) return empty;
    const sinceFirst = query.sinceMs === null ? 1 : await this.#firstSince(source, query.sinceMs);
    const first = Math.max(state.first_seq, sinceFirst);
    if (first > state.last_seq) return empty;
    const begin = await this.#begin(source, first, state.last_seq, query.limit);
    if (begin === null) return empty;
    const times: { sequence: number; storedMs: number }[] = [];
    for await (const message of this.#read(source, begin, true)) {
      if (message.seq > state.last_seq) break;
      times.push({ sequence: message.seq, storedMs: storedMs(message) });
      if (message.info.pending === 0) break;
    }
    return { source, times: times.slice(-query.limit), lastSequence: state.last_seq };
  }

  /** A sequence from which about `limit` matching messages follow; null where none matches at all. */
  async #begin(source: TailSource, first: number, last: number, limit: number): Promise<number | null> {
    const countFrom = async (sequence: number): Promise<number> =>
      (await this.#probe(source, { deliver_policy: DeliverPolicy.StartSequence, opt_start_seq: sequence }))
        .pending;
    let tooLate = last + 1;
    let width = limit;
    let begin = Math.max(first, last - width + 1);
    let count = await countFrom(begin);
    while (count < limit && begin > first) {
      tooLate = begin;
      width *= 4;
      begin = Math.max(first, last - width + 1);
      count = await countFrom(begin);
    }
    while (count > WIDEST * limit && tooLate - begin > 1) {
      const middle = Math.floor((begin + tooLate) / 2);
      const fromMiddle = await countFrom(middle);
      if (fromMiddle < limit) tooLate = middle;
      else {
        begin = middle;
        count = fromMiddle;
      }
    }
    return count === 0 ? null : begin;
  }

  async #firstSince(source: TailSource, sinceMs: number): Promise<number> {
    const start = {
      deliver_policy: DeliverPolicy.StartTime,
      opt_start_time: new Date(sinceMs).toISOString(),
    };
    const { pending, position } = await this.#probe(source, start);
    return pending === 0 ? Number.MAX_SAFE_INTEGER : position + 1;
  }

  /** How many matching messages there are from a place on, and the sequence before that place. */
  async #probe(
    { stream, filterSubject }: TailSource,
    start:
      | { readonly deliver_policy: "by_start_sequence"; readonly opt_start_seq: number }
      | { readonly deliver_policy: "by_start_time"; readonly opt_start_time: string },
  ): Promise<{ readonly pending: number; readonly position: number }> {
    const info = await this.#jsm.consumers.add(stream, {
      ...start,
      filter_subject: filterSubject,
      ack_policy: AckPolicy.None,
      mem_storage: true,
      inactive_threshold: nanos(10_000),
    });
    await this.#jsm.consumers.delete(stream, info.name);
    return { pending: info.num_pending, position: info.delivered.stream_seq };
  }

  /** From `sequence` on, until nothing comes for a while. */
  async *#read(
    source: TailSource,
    sequence: number,
    headersOnly: boolean,
  ): AsyncGenerator<JsMsg, void, undefined> {
    const consumer = await this.#consumer(source, sequence, headersOnly);
    const batch = headersOnly ? FETCH_HEADERS : FETCH_RECORDS;
    try {
      for (let received = 1; received > 0;) {
        received = 0;
        for await (const message of await consumer.fetch({ max_messages: batch, expires: FETCH_MS })) {
          received += 1;
          yield message;
        }
      }
    } finally {
      await discard(consumer);
    }
  }

  #consumer(source: TailSource, sequence: number, headersOnly: boolean): Promise<Consumer> {
    return this.#js.consumers.get(source.stream, {
      filter_subjects: source.filterSubject,
      deliver_policy: DeliverPolicy.StartSequence,
      opt_start_seq: sequence,
      headers_only: headersOnly,
    });
  }
}

/** When the broker stored it, in milliseconds since the epoch. */
export function storedMs(message: JsMsg): number {
  return message.info.timestampNanos / 1e6;
}

/** The broker forgets a reader by itself; this is sooner. */
async function discard(consumer: Consumer): Promise<void> {
  try {
    await consumer.delete();
  } catch (error) {
    if (!(error instanceof Error)) throw error; // not there any more, or the broker is away
  }
}

/** Whether the broker said that there is no such stream. */
export function isStreamGone(error: unknown): boolean {
  return (
    error instanceof Error &&
    ("code" in error ? error.code === STREAM_NOT_FOUND : error.name === "StreamNotFoundError")
  );
}
