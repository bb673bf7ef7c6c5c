/**
 * Memory port: a broker for the publisher that keeps what it is sent in memory, and stores each event once.
 *
 * It is never away and refuses nothing: what becomes of events on a bad day is the publisher's own test's to say.
 */
import { CE_HEADER } from "@bulkhead/schema";
import type { PublishAnswer, PublishPort } from "../publish-port.ts";

/** An event as a consumer would get it. */
export interface EmittedEvent {
  readonly type: string;
  readonly id: string;
  /** RFC 3339. */
  readonly time: string;
  /** As it went out: a tool's own bytes may be other than JSON. */
  readonly record: Buffer;
  /** The record, parsed; undefined where it is no JSON. */
  readonly data: unknown;
}

export class MemoryPort implements PublishPort {
  readonly connected = true;
  readonly events: EmittedEvent[] = [];
  readonly #sequences = new Map<string, number>();
  readonly #waiting = new Map<string, (answer: PublishAnswer) => void>();
  #serial = 0;

  whenConnected(): Promise<void> {
    return Promise.resolve();
  }

  send(_subject: string, record: Uint8Array, header: Uint8Array, reply?: string): void {
    const attributes = readHeader(header);
    const id = attributes.get(CE_HEADER.id) ?? "";
    const known = this.#sequences.get(id);
    if (known === undefined) {
      const type = attributes.get(CE_HEADER.type) ?? "";
      const time = attributes.get(CE_HEADER.time) ?? "";
      const bytes = Buffer.from(record);
      this.events.push({ type, id, time, record: bytes, data: jsonOf(bytes) });
      this.#sequences.set(id, this.events.length);
    }
    const sequence = known ?? this.events.length;
    if (reply === undefined) return;
    this.#waiting.get(reply)?.({ kind: "stored", sequence, duplicate: known !== undefined });
    this.#waiting.delete(reply);
  }

  /** The answer comes with the event itself, so that no deadline is needed. */
  expectAnswer(): { readonly reply: string; readonly answer: Promise<PublishAnswer> } {
    const reply = String((this.#serial += 1));
    const { promise, resolve } = Promise.withResolvers<PublishAnswer>();
    this.#waiting.set(reply, resolve);
    return { reply, answer: promise };
  }
}

function readHeader(header: Uint8Array): ReadonlyMap<string, string> {
  const lines = Buffer.from(header).toString("latin1").split("\r\n");
  return new Map(
    lines.flatMap((line) => {
      const colon = line.indexOf(": ");
      return colon < 0 ? [] : [[line.slice(0, colon), line.slice(colon + 2)] as const];
    }),
  );
}

function jsonOf(record: Buffer): unknown {
  try {
    return JSON.parse(record.toString("utf8"));
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}
