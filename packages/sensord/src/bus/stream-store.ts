/**
 * Stream store: how much the broker keeps of one stream, since when, and how it is made to forget.
 *
 * It purges by sequence alone: a stream's own maximum age would follow the host's clock, and one
 * jump of it would empty the stream. What is to go, the caller has decided.
 */
import type { JetStreamManager } from "@nats-io/jetstream";
import { isStreamGone, type StreamTail } from "./stream-tail.ts";

export interface StreamFacts {
  readonly stream: string;
  /** RFC 3339: a stream that was made anew begins at 1 again. */
  readonly created: string;
  readonly sizeBytes: number;
  readonly firstSequence: number;
  readonly lastSequence: number;
  /** When the broker's clock says that the first message came; null where there is none. */
  readonly firstStampMs: number | null;
}

export class StreamStore {
  readonly #jsm: JetStreamManager;
  readonly #tail: StreamTail;

  constructor(jsm: JetStreamManager, tail: StreamTail) {
    this.#jsm = jsm;
    this.#tail = tail;
  }

  /** Null where there is no such stream. */
  async facts(stream: string): Promise<StreamFacts | null> {
    try {
      const { created, state } = await this.#jsm.streams.info(stream);
      return {
        stream,
        created,
        sizeBytes: state.bytes,
        firstSequence: state.first_seq,
        lastSequence: state.last_seq,
        firstStampMs: state.messages === 0 ? null : Date.parse(state.first_ts),
      };
    } catch (error) {
      if (isStreamGone(error)) return null;
      throw error;
    }
  }

  /** Removes all messages up to and including `throughSequence`; returns how many there were. */
  async purge(stream: string, throughSequence: number): Promise<number> {
    if (throughSequence < 1) return 0;
    return (await this.#jsm.streams.purge(stream, { seq: throughSequence + 1 })).purged;
  }

  /** The last sequence for which `isBefore` holds; 0 for none. Reads the whole stream, without payloads. */
  async lastSequence(
    { stream, firstSequence, lastSequence }: StreamFacts,
    isBefore: (message: { readonly sequence: number; readonly stampMs: number }) => boolean,
  ): Promise<number> {
    let found = 0;
    for await (const { sequence, storedMs } of this.#tail.times(stream, firstSequence, lastSequence)) {
      if (isBefore({ sequence, stampMs: storedMs })) found = sequence;
    }
    return found;
  }
}
