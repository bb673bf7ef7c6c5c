/**
 * Consumer: events in, from the durable consumers that the platform made, each at least once.
 *
 * Invariants: an event is acknowledged after the handler's promise resolved, never before; the
 * position is the broker's, so a restart goes on where acknowledgements ended; ids seen lately are
 * passed over, and a handler that must count exactly once keeps ids in its own transaction. A
 * record that is no JSON or not what the handler's schema says is ended at once and reported:
 * it must not block what comes after it.
 */
import { setTimeout as delay } from "node:timers/promises";
import { CE_HEADER, subjects, type EventRecord, type QuarantineReport, type Welcome } from "@bulkhead/schema";
import {
  jetstream,
  type Consumer,
  type ConsumerInfo,
  type ConsumerMessages,
  type FetchMessages,
  type JsMsg,
} from "@nats-io/jetstream";
import type * as z from "zod";
import type { Bus } from "./bus.ts";
import { errorText } from "./error.ts";
import { checkEventData, RecentIds } from "./event-data.ts";
import { jitteredDelayMs } from "./jitter.ts";

/** An event whose record was checked. */
export type ConsumedEvent<Data> = Omit<EventRecord, "data"> & { readonly data: Data };

export interface ConsumeOptions<Data> {
  /** Only grants of this type. */
  readonly type: string;
  readonly schema: z.ZodType<Data>;
  /** Resolves when the batch is kept; a rejection has it delivered again. */
  readonly handle: (events: readonly ConsumedEvent<Data>[]) => Promise<void>;
  readonly maxBatch?: number;
  readonly onProblem: (text: string) => void;
}

export interface EventConsumer {
  /** Follows the grants as a Welcome tells them. */
  follow(consumers: Welcome["consumers"]): Promise<void>;
  close(): Promise<void>;
}

/**
 * Events asked for at once. The broker cuts off a connection for which more than 32 MiB wait, and one
 * event may have 1 MiB: so many an emitter cannot use against its consumers.
 */
const MAX_BATCH = 30;
const REDELIVER_MS = 1_000;
const REMEMBERED_IDS = 8_192;

export function consumeEvents<Data>(bus: Bus, options: ConsumeOptions<Data>): EventConsumer {
  const running = new Map<string, GrantConsumer<Data>>();
  return {
    async follow(consumers) {
      const wanted = new Map(
        consumers.filter((c) => c.type === options.type).map((c) => [`${c.stream}/${c.consumer}`, c]),
      );
      for (const [key, consumer] of running) {
        if (wanted.has(key)) continue;
        running.delete(key);
        await consumer.close();
      }
      for (const [key, grant] of wanted) {
        if (running.has(key)) continue;
        const consumer = new GrantConsumer(bus, grant, options);
        running.set(key, consumer);
        consumer.open();
      }
    },
    async close() {
      for (const consumer of running.values()) await consumer.close();
      running.clear();
    },
  };
}

type Grant = Welcome["consumers"][number];

class GrantConsumer<Data> {
  readonly #bus: Bus;
  readonly #grant: Grant;
  readonly #options: ConsumeOptions<Data>;
  readonly #seen = new RecentIds(REMEMBERED_IDS);
  #messages: ConsumerMessages | null = null;
  #waiting: JsMsg[] = [];
  #working: Promise<void> | null = null;
  #running: Promise<void> = Promise.resolve();
  #closed = false;

  constructor(bus: Bus, grant: Grant, options: ConsumeOptions<Data>) {
    this.#bus = bus;
    this.#grant = grant;
    this.#options = options;
  }

  open(): void {
    // An instrument may not ask the broker about consumers; the client needs no more than names.
    const info = { stream_name: this.#grant.stream, name: this.#grant.consumer, config: {} } as ConsumerInfo;
    this.#running = this.#run(jetstream(this.#bus.connection).consumers.getConsumerFromInfo(info));
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#waiting = []; // not acknowledged: they come again
    await this.#messages?.close();
    await this.#running;
    // The broker must know before the next event, or that one waits for its redelivery.
    if (this.#bus.connected) await this.#bus.connection.flush().catch(() => undefined);
  }

  /**
   * Asks for a batch, and for the next when it was handled: a slow handler makes the events wait at
   * the broker, not in this process.
   */
  async #run(consumer: Consumer): Promise<void> {
    for (let failures = 0; !this.#closed;) {
      try {
        this.#messages = await consumer.fetch({
          bind: true,
          max_messages: this.#options.maxBatch ?? MAX_BATCH,
          expires: 30_000,
          callback: (message) => this.#take(message),
        } as FetchMessages & { readonly callback: (message: JsMsg) => void }); // as consume() declares it
        const error = await this.#messages.closed();
        await this.#working;
        if (error instanceof Error) throw error;
        failures = 0;
      } catch (error) {
        if (this.#closed) break;
        this.#options.onProblem(`consumer ${this.#grant.consumer}: ${errorText(error)}`);
        await delay(jitteredDelayMs(failures++, 200, 10_000));
      }
    }
    await this.#working;
  }

  #take(message: JsMsg): void {
    if (this.#closed) return;
    this.#waiting.push(message);
    this.#working ??= this.#work().finally(() => (this.#working = null));
  }

  async #work(): Promise<void> {
    await Promise.resolve(); // what came in the same read makes one batch
    while (this.#waiting.length > 0) {
      const batch = this.#waiting.splice(0, this.#options.maxBatch ?? MAX_BATCH);
      await this.#handle(batch);
    }
  }

  async #handle(batch: readonly JsMsg[]): Promise<void> {
    const events: ConsumedEvent<Data>[] = [];
    const messages: JsMsg[] = [];
    for (const message of batch) {
      const event = this.#parse(message);
      if (event === null) continue;
      events.push(event);
      messages.push(message);
    }
    if (events.length === 0) return;
    try {
      await this.#options.handle(events);
    } catch (error) {
      this.#options.onProblem(`a batch of ${events.length} events failed: ${errorText(error)}`);
      for (const message of messages) message.nak(REDELIVER_MS);
      return;
    }
    for (const event of events) this.#seen.add(event.id);
    for (const message of messages) message.ack();
  }

  /** The event, or null where it was dealt with: a duplicate, or none that can be read. */
  #parse(message: JsMsg): ConsumedEvent<Data> | null {
    const { from, type } = this.#grant;
    if (message.subject !== subjects.event(from, type)) return this.#quarantine(message, "wrong subject");
    const id = message.headers?.get(CE_HEADER.id) ?? "";
    if (id === "" || id.length > 128) return this.#quarantine(message, "no ce-id");
    if (this.#seen.has(id)) {
      message.ack();
      return null;
    }
    let json: unknown;
    try {
      json = message.json();
    } catch {
      return this.#quarantine(message, "not JSON"); // the only thing that json() can fail at
    }
    const data = checkEventData(this.#options.schema, json);
    if (!data.ok) return this.#quarantine(message, data.reason);
    const stored = new Date(message.info.timestampNanos / 1e6).toISOString();
    const time = message.headers?.get(CE_HEADER.time) ?? "";
    return {
      id,
      instrument: from,
      type,
      time: Number.isNaN(Date.parse(time)) ? stored : time,
      stored,
      sequence: message.info.streamSequence,
      data: data.data,
    };
  }

  #quarantine(message: JsMsg, reason: string): null {
    const { from, type } = this.#grant;
    const sequence = message.info.streamSequence;
    const report: z.infer<typeof QuarantineReport> = { from, type, sequence, reason: reason.slice(0, 500) };
    this.#bus.report("quarantine", report);
    message.term(reason.slice(0, 100));
    return null;
  }
}
