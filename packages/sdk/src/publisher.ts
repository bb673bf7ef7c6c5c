/**
 * Publisher: events out, each at least once, acknowledged by the broker.
 *
 * Events go in batches as core publishes; only the last of a batch asks for a PubAck, and because
 * the stream has one writer, its sequence proves the count: it must be the last known one plus the
 * batch's length. What is not proven is sent again whole, each with a PubAck of its own; ids are
 * the message ids, so nothing is stored twice. One batch is on its way at a time, and what comes
 * meanwhile makes the next one.
 *
 * Nothing is dropped but what the broker refuses by itself (counted); a full queue makes the
 * producer wait. It keeps nothing on disk: what was not acknowledged when the process ends is lost.
 */
import { randomBytes } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { MAX_EVENT_BYTES, subjects, type Name } from "@bulkhead/schema";
import { SdkError } from "./error.ts";
import { headerEncoder, isEventId, isEventTime, type HeaderEncoder } from "./event-header.ts";
import { jitteredDelayMs } from "./jitter.ts";
import type { PublishAnswer, PublishPort } from "./publish-port.ts";

/** One event to be published. The record's bytes go out as they are. */
export interface OutgoingEvent {
  readonly type: string;
  /** RFC 3339. */
  readonly time: string;
  readonly record: Uint8Array;
  /** Default: one that no other start of any instrument uses. */
  readonly id?: string;
}

export interface EventCounts {
  readonly acknowledged: number;
  readonly refused: number;
  readonly waiting: number;
}

export interface PublisherOptions {
  readonly instrument: Name;
  readonly maxBatch: number;
  readonly maxBatchBytes: number;
  readonly maxWaiting: number;
  readonly maxWaitingBytes: number;
  /** Under load a batch begins at most this often; a lone event goes at once. */
  readonly lingerMs: number;
  readonly answerTimeoutMs: number;
  readonly onRefused?: (type: string, reason: string) => void;
}

export const PUBLISHER_DEFAULTS = {
  maxBatch: 500,
  maxBatchBytes: 2 * 1024 * 1024,
  maxWaiting: 4_096,
  maxWaitingBytes: 8 * 1024 * 1024,
  lingerMs: 1,
  answerTimeoutMs: 5_000,
} as const;

/** Rounds without an answer, while others of the same round were stored, until an event counts as refused. */
const SILENT_ROUNDS = 3;

interface QueuedEvent {
  readonly type: string;
  readonly id: string;
  readonly record: Uint8Array;
  readonly header: Uint8Array;
  silentRounds: number;
}

export class Publisher {
  readonly #port: PublishPort;
  readonly #options: PublisherOptions;
  readonly #startId = `${Date.now().toString(36)}-${randomBytes(6).toString("hex")}`;
  readonly #encoders = new Map<string, HeaderEncoder>();
  #queue: QueuedEvent[] = [];
  #queuedBytes = 0;
  #serial = 0;
  #acknowledged = 0;
  #refused = 0;
  /** Last sequence of our stream that we know; null until a PubAck told. */
  #lastSequence: number | null = null;
  #emits: ReadonlySet<string> | null = null;
  #source: string | null = null;
  readonly #denied = new Set<string>();
  #closed = false;
  #work = Promise.withResolvers<void>();
  #room = Promise.withResolvers<void>();
  #idle = Promise.withResolvers<void>();
  readonly #loop: Promise<void>;

  constructor(port: PublishPort, options: Pick<PublisherOptions, "instrument"> & Partial<PublisherOptions>) {
    this.#port = port;
    this.#options = { ...PUBLISHER_DEFAULTS, ...options };
    this.#loop = this.#run();
  }

  /** What the platform said that we may emit; also forgets earlier denials. */
  allow(grant: { readonly sensor: Name; readonly emits: readonly string[] }): void {
    this.#emits = new Set(grant.emits);
    this.#denied.clear();
    const source = `/${grant.sensor}/${this.#options.instrument}`;
    if (source !== this.#source) this.#encoders.clear();
    this.#source = source;
  }

  /** The broker denied publishes on this subject. */
  deny(subject: string): void {
    this.#denied.add(subject);
  }

  /**
   * Takes one event. False: it was taken, and the producer should await `room()` before the next.
   * @throws SdkError `sdk-event-invalid` for a bad id or time, `sdk-publisher-closed` after close.
   */
  offer(event: OutgoingEvent): boolean {
    if (this.#closed) throw new SdkError("sdk-publisher-closed", "the publisher was closed");
    const id = event.id ?? `${this.#startId}-${(this.#serial += 1)}`;
    if (!isEventId(id) || !isEventTime(event.time)) {
      throw new SdkError("sdk-event-invalid", `no id or RFC 3339 time: ${id} ${event.time}`.slice(0, 200));
    }
    const reason = this.#localRefusal(event);
    if (reason === null) {
      const header = this.#encoder(event.type)(id, event.time);
      this.#queue.push({ type: event.type, id, record: event.record, header, silentRounds: 0 });
      this.#queuedBytes += event.record.length;
      this.#work.resolve();
    } else {
      this.#refuse(event.type, reason);
    }
    return this.#hasRoom();
  }

  /** Takes a record of our own making as JSON; resolves when there is room for more. @throws as `offer`. */
  async emit(type: string, data: unknown, time: Date): Promise<void> {
    const record = Buffer.from(JSON.stringify(data));
    if (!this.offer({ type, record, time: time.toISOString() })) await this.room();
  }

  /** Resolves when the queue has room again. */
  async room(): Promise<void> {
    while (!this.#hasRoom() && !this.#closed) await this.#room.promise;
  }

  /** Resolves when everything offered so far was acknowledged or refused. */
  async flush(): Promise<void> {
    while (this.#queue.length > 0 && !this.#closed) await this.#idle.promise;
  }

  counts(): EventCounts {
    return {
      acknowledged: this.#acknowledged,
      refused: this.#refused,
      waiting: this.#queue.length,
    };
  }

  /** Flushes for at most `timeoutMs`, then ends. What waits after that is lost. */
  async close(timeoutMs: number): Promise<void> {
    await Promise.race([this.flush(), delay(timeoutMs, undefined, { ref: false })]);
    this.#closed = true;
    this.#work.resolve();
    this.#room.resolve();
    this.#idle.resolve();
    await Promise.race([this.#loop, delay(100, undefined, { ref: false })]);
  }

  #hasRoom(): boolean {
    const { maxWaiting, maxWaitingBytes } = this.#options;
    return this.#queue.length < maxWaiting && this.#queuedBytes < maxWaitingBytes;
  }

  #encoder(type: string): HeaderEncoder {
    const known = this.#encoders.get(type);
    if (known !== undefined) return known;
    const made = headerEncoder(this.#source ?? `/${this.#options.instrument}`, type);
    this.#encoders.set(type, made);
    return made;
  }

  #localRefusal(event: OutgoingEvent): string | null {
    if (this.#emits !== null && !this.#emits.has(event.type)) return "this type was not granted";
    if (this.#denied.has(this.#subject(event.type))) return "the broker denied this type";
    if (event.record.length > MAX_EVENT_BYTES) return `larger than ${MAX_EVENT_BYTES} bytes`;
    return null;
  }

  #refuse(type: string, reason: string): void {
    this.#refused += 1;
    this.#options.onRefused?.(type, reason);
  }

  #subject(type: string): string {
    return subjects.event(this.#options.instrument, type);
  }

  async #run(): Promise<void> {
    let failures = 0;
    let sentAtMs = -Infinity;
    while (!this.#closed) {
      if (this.#queue.length === 0) {
        this.#idle.resolve();
        this.#idle = Promise.withResolvers<void>();
        this.#work = Promise.withResolvers<void>();
        await this.#work.promise;
        continue;
      }
      await this.#port.whenConnected();
      const restMs = sentAtMs + this.#options.lingerMs - performance.now();
      if (failures === 0 && restMs > 0 && this.#queue.length < this.#options.maxBatch) await delay(restMs);
      sentAtMs = performance.now();
      const batch = this.#nextBatch();
      if (await this.#deliver(batch)) failures = 0;
      else await delay(jitteredDelayMs(failures++, 50, 5_000));
    }
  }

  #nextBatch(): QueuedEvent[] {
    const { maxBatch, maxBatchBytes } = this.#options;
    let bytes = 0;
    let length = 0;
    for (const event of this.#queue) {
      if (length === maxBatch || (length > 0 && bytes + event.record.length > maxBatchBytes)) break;
      bytes += event.record.length;
      length += 1;
    }
    return this.#queue.slice(0, length);
  }

  /** True: the whole batch left the queue. */
  async #deliver(batch: readonly QueuedEvent[]): Promise<boolean> {
    const last = batch.at(-1);
    if (last === undefined) return true;
    const known = this.#lastSequence;
    if (known === null) return this.#deliverEach(batch);
    const expected = this.#port.expectAnswer(this.#options.answerTimeoutMs);
    for (const event of batch) {
      const reply = event === last ? expected.reply : undefined;
      this.#port.send(this.#subject(event.type), event.record, event.header, reply);
    }
    const answer = await expected.answer;
    if (answer.kind === "stored" && !answer.duplicate && answer.sequence === known + batch.length) {
      this.#lastSequence = answer.sequence;
      this.#settle(new Set(batch), batch.length);
      return true;
    }
    this.#lastSequence = null; // not proven: next time each event is asked for
    return false;
  }

  async #deliverEach(batch: readonly QueuedEvent[]): Promise<boolean> {
    const answers = await Promise.all(
      batch.map((event) => {
        const { reply, answer } = this.#port.expectAnswer(this.#options.answerTimeoutMs);
        this.#port.send(this.#subject(event.type), event.record, event.header, reply);
        return answer;
      }),
    );
    const stored = answers.filter((a) => a.kind === "stored");
    const gone = new Set<QueuedEvent>();
    for (const [index, event] of batch.entries()) {
      const answer = answers[index] ?? { kind: "silent" };
      const refusal = this.#refusal(event, answer, stored.length > 0);
      if (refusal !== null) this.#refuse(event.type, refusal);
      if (refusal !== null || answer.kind === "stored") gone.add(event);
    }
    const complete = gone.size === batch.length;
    this.#settle(gone, stored.length);
    if (complete && stored.length > 0) {
      this.#lastSequence = Math.max(...stored.map((a) => a.sequence));
    }
    return complete;
  }

  #refusal(event: QueuedEvent, answer: PublishAnswer, othersStored: boolean): string | null {
    if (answer.kind === "refused") return answer.reason;
    if (answer.kind === "stored") return null;
    if (this.#denied.has(this.#subject(event.type))) return "the broker denied this type";
    // Silence proves nothing while the link or the broker is away; beside stored ones it does.
    if (othersStored && this.#port.connected) event.silentRounds += 1;
    return event.silentRounds >= SILENT_ROUNDS ? "never acknowledged while others were" : null;
  }

  #settle(gone: ReadonlySet<QueuedEvent>, acknowledged: number): void {
    this.#acknowledged += acknowledged;
    if (gone.size === 0) return;
    for (const event of gone) this.#queuedBytes -= event.record.length;
    // A batch is the head of the queue; nothing else leaves it.
    const head = this.#queue.slice(0, gone.size).every((event) => gone.has(event));
    this.#queue = head ? this.#queue.slice(gone.size) : this.#queue.filter((event) => !gone.has(event));
    this.#room.resolve();
    this.#room = Promise.withResolvers<void>();
  }
}
