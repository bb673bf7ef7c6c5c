/**
 * Resource sender: streams a resource to the platform, which places it with its receivers.
 *
 * Invariants: no more chunks are under way than the platform lets; a chunk is sent again only at its
 * own offset, so that a lost connection costs time and never a byte. After a restart of the platform
 * the delivery is over, since what had come of it is gone there. It reads the body once.
 */
import { setTimeout as delay } from "node:timers/promises";
import {
  ChunkAnswer,
  CloseAnswer,
  DEFAULT_MEDIA_TYPE,
  DeliveryOpened,
  type DeliveryReceipt,
  type DeliveryRefusal,
  NO_SUCH_DELIVERY,
  type RefusedDelivery,
  subjects,
} from "@bulkhead/schema";
import { type Msg, PermissionViolationError, RequestError } from "@nats-io/transport-node";
import type * as z from "zod";
import type { Bus } from "./bus.ts";
import { errorText, SdkError, type SdkErrorCode } from "./error.ts";
import { inChunks } from "./in-chunks.ts";

export interface DeliverOptions {
  readonly type: string;
  /** Unique within this instrument and type. */
  readonly name: string;
  /** Exactly as many as the body has. */
  readonly sizeBytes: number;
  /** Where it is known beforehand: the platform refuses what differs. */
  readonly sha256?: string;
  readonly mediaType?: string;
  readonly body: AsyncIterable<Uint8Array>;
}

/** After it the same is asked again, which changes nothing: a lost connection is not noticed otherwise. */
const ANSWER_TIMEOUT_MS = 3_000;
/** So long a delivery waits for the platform to be back; within it, the platform keeps what came. */
const RESUME_WITHIN_MS = 25_000;
/** A close is answered when all receivers have it, on a slow disk too. */
const CLOSE_WITHIN_MS = 180_000;
const RETRY_MS = 250;

type Opened = Extract<z.infer<typeof DeliveryOpened>, { ok: true }>;

/** As InstrumentContext.deliver. */
export async function deliverResource(bus: Bus, options: DeliverOptions): Promise<DeliveryReceipt> {
  const { type, name, sizeBytes, sha256, mediaType = DEFAULT_MEDIA_TYPE, body } = options;
  const what = `${type} ${name}`;
  const sender = new Sender(bus, what);
  const request = { type, name, sizeBytes, mediaType, ...(sha256 === undefined ? {} : { sha256 }) };
  const opened = await sender.ask(
    subjects.service(bus.instrument, "deliver"),
    JSON.stringify(request),
    DeliveryOpened,
  );
  try {
    await sendBody(sender, opened, body);
  } catch (error) {
    // What the platform keeps of it is given up at once rather than after its deadline.
    if (bus.connected)
      bus.connection.publish(subjects.delivery(bus.instrument, opened.id, "abort"), "", {
        reply: `${subjects.inbox(bus.instrument)}.aborted`,
      });
    throw error;
  }
  const close = subjects.delivery(bus.instrument, opened.id, "close");
  return (await sender.ask(close, "", CloseAnswer, CLOSE_WITHIN_MS)).receipt;
}

async function sendBody(sender: Sender, opened: Opened, body: AsyncIterable<Uint8Array>): Promise<void> {
  const underWay = new Set<Promise<void>>();
  const failed = Promise.withResolvers<never>();
  failed.promise.catch(() => undefined); // whoever races with it sees it
  let offset = 0;
  try {
    for await (const chunk of inChunks(body, opened.chunkBytes)) {
      const sent = sender.chunk(opened.id, offset, chunk).finally(() => underWay.delete(sent));
      sent.catch(failed.reject);
      underWay.add(sent);
      offset += chunk.length;
      const room = underWay.size >= opened.window ? Promise.race(underWay) : Promise.resolve();
      await Promise.race([failed.promise, room]);
    }
    await Promise.race([failed.promise, Promise.all(underWay)]);
  } finally {
    await Promise.allSettled(underWay);
  }
}

/** Asks the platform, and again while the connection is away. */
class Sender {
  readonly #bus: Bus;
  readonly #what: string;
  /** Set by the first answer that ends the delivery: what is under way does not go on. */
  #ended: SdkError | null = null;

  constructor(bus: Bus, what: string) {
    this.#bus = bus;
    this.#what = what;
  }

  chunk(id: string, offset: number, bytes: Uint8Array): Promise<void> {
    const subject = subjects.delivery(this.#bus.instrument, id, offset);
    return this.ask(subject, bytes, ChunkAnswer).then(() => undefined);
  }

  async ask<T extends { readonly ok: boolean }>(
    subject: string,
    payload: Uint8Array | string,
    schema: z.ZodType<T>,
    withinMs = RESUME_WITHIN_MS,
  ): Promise<Extract<T, { ok: true }>> {
    const giveUpAt = performance.now() + withinMs;
    for (;;) {
      const answer = await this.#once(subject, payload, schema);
      if (this.#ended !== null) throw this.#ended;
      // The two kinds of answer are told apart by `ok`.
      if (answer.kind === "answer" && answer.data.ok) return answer.data as Extract<T, { ok: true }>;
      const fault = answer.kind === "answer" ? this.#refused(answer.data) : answer.error;
      const mayPass = answer.kind === "lost" || (answer.kind === "answer" && passes(answer.data));
      if (!mayPass || performance.now() > giveUpAt || this.#bus.connection.isClosed()) {
        this.#ended = fault;
        throw fault;
      }
      await delay(RETRY_MS);
    }
  }

  async #once<T>(subject: string, payload: Uint8Array | string, schema: z.ZodType<T>): Promise<Heard<T>> {
    let message: Msg;
    try {
      message = await this.#bus.connection.request(subject, payload, { timeout: ANSWER_TIMEOUT_MS });
    } catch (cause) {
      const isOpen = subject === subjects.service(this.#bus.instrument, "deliver");
      if (isOpen && isViolation(cause)) {
        const error = new SdkError("sdk-delivery-not-declared", `${this.#what}: not to be published`, {
          cause,
        });
        return { kind: "denied", error };
      }
      const message = `${this.#what}: ${errorText(cause)}`;
      const error = new SdkError("sdk-delivery-interrupted", message, { cause });
      return { kind: isGone(cause) ? "denied" : "lost", error };
    }
    const parsed = schema.safeParse(jsonOf(message));
    if (parsed.success) return { kind: "answer", data: parsed.data };
    const error = new SdkError("sdk-delivery-failed", `${this.#what}: the answer is none`);
    return { kind: "denied", error };
  }

  #refused(answer: unknown): SdkError {
    const { refusal, message } = answer as RefusedDelivery; // the only answer with `ok: false`
    return new SdkError(CODES[refusal], `${this.#what}: ${message}`);
  }
}

type Heard<T> =
  | { readonly kind: "answer"; readonly data: T }
  /** No answer came, or none can come at this time. */
  | { readonly kind: "lost"; readonly error: SdkError }
  | { readonly kind: "denied"; readonly error: SdkError };

const CODES = {
  invalid: "sdk-delivery-invalid",
  "not-declared": "sdk-delivery-not-declared",
  "too-large": "sdk-delivery-too-large",
  busy: "sdk-delivery-busy",
  quota: "sdk-delivery-quota",
  "no-space": "sdk-delivery-no-space",
  unknown: "sdk-delivery-interrupted",
  "out-of-order": "sdk-delivery-interrupted",
  oversized: "sdk-delivery-oversized",
  incomplete: "sdk-delivery-incomplete",
  "hash-differs": "sdk-delivery-hash-differs",
  stalled: "sdk-delivery-stalled",
  aborted: "sdk-delivery-interrupted",
  failed: "sdk-delivery-failed",
} as const satisfies Record<DeliveryRefusal, SdkErrorCode>;

/** A chunk before it is on its way again; or the platform has too much to do. */
function passes(answer: unknown): boolean {
  const { refusal } = answer as RefusedDelivery; // the only answer with `ok: false`
  return refusal === "out-of-order" || refusal === "busy";
}

function isViolation(error: unknown): boolean {
  return (error instanceof RequestError ? error.cause : error) instanceof PermissionViolationError;
}

/** The platform knows it no longer, and no waiting brings it back. */
function isGone(error: unknown): boolean {
  return isViolation(error) && errorText(error).includes(NO_SUCH_DELIVERY);
}

function jsonOf(message: Msg): unknown {
  try {
    return message.json();
  } catch {
    return undefined; // which no schema takes
  }
}
