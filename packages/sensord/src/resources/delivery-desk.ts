/**
 * Delivery desk: takes deliveries: opens them, takes their chunks, and ends them.
 *
 * Invariants: whatever ends a delivery, nothing of an unfinished one is left; what is announced is held
 * against what its sender declared and may have before a byte is taken; a sender is told why, also by a
 * later chunk. Closing twice gives the same receipt.
 */
import { randomBytes } from "node:crypto";
import {
  type ChunkAnswer,
  type CloseAnswer,
  type DeliveryOpen,
  type DeliveryOpened,
  type DeliveryReceipt,
  type DeliveryRefusal,
  type Name,
  NO_SUCH_DELIVERY,
  type RefusedDelivery,
  type ResourcesReport,
  subjects,
} from "@bulkhead/schema";
import type * as z from "zod";
import { TokenBucket } from "../bus/token-bucket.ts";
import { describeError, type Log } from "../log.ts";
import { Delivery, type Ending, overBy } from "./delivery.ts";
import { admissionFault, type Refusal, wholeBytes } from "./delivery-admission.ts";
import type { ResourceLimits } from "./limits.ts";
import { publishableBytes, type ResourceRights } from "./resource-rights.ts";
import type { ResourceKey } from "./resource-key.ts";
import type { Spool } from "./spool.ts";

export interface DeskOptions {
  readonly limits: ResourceLimits;
  readonly spool: Pick<Spool, "begin" | "discard" | "freeBytes">;
  readonly rights: () => ResourceRights;
  readonly usage: (from: Name, without: ResourceKey) => { readonly names: number; readonly bytes: number };
  /** @throws what the file system says; then nothing changed */
  readonly publish: (
    from: Name,
    request: DeliveryOpen,
    came: { readonly id: string; readonly sha256: string; readonly sizeBytes: number },
  ) => Promise<DeliveryReceipt>;
  readonly onRefused: (from: Name, refusal: DeliveryRefusal) => void;
  readonly onDelivered: (from: Name, request: DeliveryOpen, receipt: DeliveryReceipt) => void;
  readonly nowMs: () => number;
  readonly log: Log;
}

/** Why the gate does not let a chunk through. */
export type DeliveryFault = typeof NO_SUCH_DELIVERY | "too many chunks at once" | null;

interface Ended {
  readonly from: Name;
  readonly ending: Ending;
  /** Requests of a delivery that is over are answered so often: its sender is to hear why. */
  answers: number;
}

const LOOK_EVERY_MS = 1_000;
const ENDED_KEPT = 256;
const ENDED_ANSWERS = 16;

export class DeliveryDesk implements AsyncDisposable {
  readonly #options: DeskOptions;
  readonly #active = new Map<string, Delivery>();
  readonly #ended = new Map<string, Ended>();
  /** Deliveries that are being opened, by sender. */
  readonly #opening = new Map<Name, number>();
  readonly #opens = new Map<Name, TokenBucket>();
  readonly #timer: NodeJS.Timeout;

  constructor(options: DeskOptions) {
    this.#options = options;
    const lookMs = Math.min(LOOK_EVERY_MS, options.limits.stallMs / 2);
    this.#timer = setInterval(() => this.#endStalled(), lookMs).unref();
  }

  /** A request below `svc.<from>.deliver.` is about to go to the broker. */
  admit(from: Name, subject: string): DeliveryFault {
    const [id = "", step = ""] = subject.slice(subjects.service(from, "deliver").length + 1).split(".");
    const ended = this.#ended.get(id);
    if (ended?.from === from && ended.answers < ENDED_ANSWERS) {
      ended.answers += 1;
      return null;
    }
    const delivery = this.#active.get(id);
    if (delivery?.from !== from) return NO_SUCH_DELIVERY;
    if (!/^\d+$/.test(step)) return null;
    const { limits, nowMs } = this.#options;
    return delivery.admit(Number(step), limits.window, nowMs()) ? null : "too many chunks at once";
  }

  async open(from: Name, request: DeliveryOpen): Promise<z.infer<typeof DeliveryOpened>> {
    const former = this.#of(from).find(
      ({ request: { type, name } }) => type === request.type && name === request.name,
    );
    const refused = this.#refusedAt(from, request, former);
    // Its sender began anew: it was interrupted, or did not hear the answer.
    if (refused === null && former?.closing === null)
      await this.#endBy(former, { refusal: "aborted", message: "a newer delivery of it began" });
    const fault = refused ?? (await this.#begin(from, request));
    if (typeof fault === "string") {
      const { chunkBytes, window } = this.#options.limits;
      return { ok: true, id: fault, chunkBytes, window };
    }
    return this.#refuse(from, fault);
  }

  async chunk(
    from: Name,
    id: string,
    offset: number,
    bytes: Uint8Array,
  ): Promise<z.infer<typeof ChunkAnswer>> {
    const delivery = this.#find(from, id);
    if (!(delivery instanceof Delivery)) return this.#over(from, delivery);
    if (bytes.length > this.#options.limits.chunkBytes) {
      return this.#endBy(delivery, { refusal: "invalid", message: "the chunk is larger than was said" });
    }
    if (delivery.closing !== null) return this.#over(from, await delivery.closing);
    const outcome = await delivery.chunk(offset, bytes, this.#options.nowMs());
    switch (outcome.kind) {
      case "taken":
        return { ok: true, next: outcome.next };
      case "out-of-order": {
        const message = `the next byte is ${outcome.next}`;
        return { ok: false, refusal: "out-of-order", message, next: outcome.next };
      }
      case "over":
        return this.#endBy(delivery, outcome);
    }
  }

  async close(from: Name, id: string): Promise<z.infer<typeof CloseAnswer>> {
    const found = this.#find(from, id);
    if (found instanceof Delivery) found.closing ??= this.#close(found);
    const ending = found instanceof Delivery ? await found.closing : found;
    return ending?.ok === true ? ending : this.#over(from, ending);
  }

  async abort(from: Name, id: string): Promise<RefusedDelivery> {
    const found = this.#find(from, id);
    if (!(found instanceof Delivery)) return this.#over(from, found);
    return this.#endBy(found, { refusal: "aborted", message: "its sender gave it up" });
  }

  /** Ends what is no longer allowed. */
  async follow(): Promise<void> {
    for (const delivery of this.#active.values()) {
      const { from, request } = delivery;
      const isAllowed = publishableBytes(this.#options.rights(), from, request.type) !== null;
      if (isAllowed || delivery.closing !== null) continue;
      await this.#endBy(delivery, { refusal: "not-declared", message: "it may publish it no longer" });
    }
  }

  /** What this sender is about to have, beside what is kept already. */
  rows(): ResourcesReport["incoming"] {
    return [...this.#active.values()].map(({ from, request, receivedBytes }) => {
      const { type, name, sizeBytes } = request;
      return { from, type, name, sizeBytes, receivedBytes };
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#timer);
    for (const delivery of this.#active.values()) {
      if (delivery.closing === null)
        await this.#endBy(delivery, { refusal: "aborted", message: "the platform ends" });
      else await delivery.closing;
    }
  }

  #refusedAt(from: Name, request: DeliveryOpen, former: Delivery | undefined): Refusal | null {
    const { limits, rights, usage, nowMs } = this.#options;
    const { type, name } = request;
    const fault = admissionFault({
      from,
      request,
      limits,
      rights: rights(),
      underWay: this.#of(from).filter((delivery) => delivery !== former),
      opening: this.#opening.get(from) ?? 0,
      has: usage(from, { from, type, name }),
    });
    if (fault !== null) return fault;
    const opens = this.#opens.get(from) ?? new TokenBucket(limits.opensPerSecond, limits.openBurst, nowMs());
    this.#opens.set(from, opens);
    if (opens.tryTake(nowMs())) return null;
    return { refusal: "busy", message: "too many deliveries in a short time" };
  }

  /** The id of the delivery that began, or why it cannot. */
  async #begin(from: Name, request: DeliveryOpen): Promise<string | Refusal> {
    const { spool, nowMs, log } = this.#options;
    this.#opening.set(from, (this.#opening.get(from) ?? 0) + 1);
    try {
      if (this.#neededBytes(from, request) > (await spool.freeBytes()))
        return { refusal: "no-space", message: "there is no space for it" };
      const id = randomBytes(8).toString("hex");
      this.#active.set(id, new Delivery(id, from, request, await spool.begin(id), nowMs()));
      return id;
    } catch (error) {
      log.warn("a delivery cannot begin", { from, ...describeError(error) });
      return overBy(error);
    } finally {
      this.#opening.set(from, (this.#opening.get(from) ?? 1) - 1);
    }
  }

  /** For it, all that is on its way, and what is to stay free. */
  #neededBytes(from: Name, request: DeliveryOpen): number {
    const { limits, rights } = this.#options;
    const comingBytes = [...this.#active.values()].reduce(
      (sum, each) => sum + wholeBytes(rights(), each.from, each.request) - each.receivedBytes,
      0,
    );
    return limits.reserveBytes + comingBytes + wholeBytes(rights(), from, request);
  }

  async #close(delivery: Delivery): Promise<Ending> {
    const { id, from, request } = delivery;
    const came = await delivery.finish();
    if ("refusal" in came) return this.#ends(delivery, { ok: false, ...came });
    try {
      const receipt = await this.#options.publish(from, request, {
        id,
        ...came,
        sizeBytes: request.sizeBytes,
      });
      this.#options.onDelivered(from, request, receipt);
      return await this.#ends(delivery, { ok: true, receipt });
    } catch (error) {
      this.#options.log.warn("a delivery is not kept", { from, ...describeError(error) });
      return this.#ends(delivery, { ok: false, ...overBy(error) });
    }
  }

  async #endBy(delivery: Delivery, refusal: Refusal): Promise<RefusedDelivery> {
    // One that is being closed ends by that.
    if (delivery.closing !== null) return this.#over(delivery.from, await delivery.closing);
    const ending: Ending = { ok: false, ...refusal };
    delivery.closing = Promise.resolve(ending);
    try {
      await this.#ends(delivery, ending);
    } finally {
      await delivery.giveUp();
    }
    return this.#over(delivery.from, ending);
  }

  async #ends(delivery: Delivery, ending: Ending): Promise<Ending> {
    const { id, from } = delivery;
    this.#active.delete(id);
    this.#ended.set(id, { from, ending, answers: 0 });
    const [oldest] = this.#ended.keys();
    if (this.#ended.size > ENDED_KEPT && oldest !== undefined) this.#ended.delete(oldest);
    if (!ending.ok) this.#options.onRefused(from, ending.refusal);
    await this.#options.spool.discard(id);
    return ending;
  }

  #endStalled(): void {
    const { limits, nowMs, log } = this.#options;
    for (const delivery of this.#active.values()) {
      if (delivery.closing !== null) continue;
      const stalled = nowMs() - delivery.movedMs > limits.stallMs;
      if (!stalled && nowMs() - delivery.beganMs <= limits.longestMs) continue;
      const message = stalled ? "no byte came for too long" : "it took too long in all";
      this.#endBy(delivery, { refusal: "stalled", message }).catch((error: unknown) => {
        log.warn("a stalled delivery is not removed", { from: delivery.from, ...describeError(error) });
      });
    }
  }

  #of(from: Name): readonly Delivery[] {
    return [...this.#active.values()].filter((delivery) => delivery.from === from);
  }

  /** Nobody learns of another's delivery. */
  #find(from: Name, id: string): Delivery | Ending | null {
    const delivery = this.#active.get(id);
    if (delivery?.from === from) return delivery;
    const ended = this.#ended.get(id);
    return ended?.from === from ? ended.ending : null;
  }

  #over(from: Name, ending: Ending | null): RefusedDelivery {
    if (ending === null || ending.ok)
      return this.#refuse(from, { refusal: "unknown", message: NO_SUCH_DELIVERY });
    const { refusal, message } = ending;
    return { ok: false, refusal, message };
  }

  #refuse(from: Name, { refusal, message }: Refusal): RefusedDelivery {
    this.#options.onRefused(from, refusal);
    return { ok: false, refusal, message };
  }
}
