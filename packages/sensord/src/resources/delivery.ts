/**
 * Delivery: one resource as it comes in.
 *
 * Invariants: a byte is taken once, in order, and counted and hashed here; nothing that the sender said
 * is believed; memory is bounded by the chunks that may be under way. After its end nothing is written.
 */
import { createHash } from "node:crypto";
import type { FileHandle } from "node:fs/promises";
import type { DeliveryOpen, DeliveryReceipt, DeliveryRefusal, Name } from "@bulkhead/schema";
import { isCode } from "./durable.ts";

export type Ending =
  | { readonly ok: true; readonly receipt: DeliveryReceipt }
  | { readonly ok: false; readonly refusal: DeliveryRefusal; readonly message: string };

export type ChunkOutcome =
  | { readonly kind: "taken"; readonly next: number }
  | { readonly kind: "out-of-order"; readonly next: number }
  | { readonly kind: "over"; readonly refusal: DeliveryRefusal; readonly message: string };

/** So long after a chunk was let through, its sender may send it again: it was lost on the way. */
const LOST_AFTER_MS = 2_000;

export class Delivery {
  readonly id: string;
  readonly from: Name;
  readonly request: DeliveryOpen;
  readonly beganMs: number;
  /** When a byte came last. */
  movedMs: number;
  /** Set while and after it is closed. */
  closing: Promise<Ending> | null = null;
  readonly #file: FileHandle;
  readonly #hash = createHash("sha256");
  /** Offsets of chunks that were let through and not answered, and since when. */
  readonly #underWay = new Map<number, number>();
  #next = 0;
  #written: Promise<void> = Promise.resolve();

  constructor(id: string, from: Name, request: DeliveryOpen, file: FileHandle, nowMs: number) {
    this.id = id;
    this.from = from;
    this.request = request;
    this.beganMs = nowMs;
    this.movedMs = nowMs;
    this.#file = file;
  }

  get receivedBytes(): number {
    return this.#next;
  }

  /** A chunk is about to go to the broker. */
  admit(offset: number, window: number, nowMs: number): boolean {
    const since = this.#underWay.get(offset);
    if (since === undefined ? this.#underWay.size >= window : nowMs - since < LOST_AFTER_MS) return false;
    this.#underWay.set(offset, nowMs);
    return true;
  }

  async chunk(offset: number, bytes: Uint8Array, nowMs: number): Promise<ChunkOutcome> {
    try {
      return await this.#take(offset, bytes, nowMs);
    } finally {
      this.#underWay.delete(offset);
    }
  }

  /** All announced bytes came and are on the disk; null, or why not. */
  async finish(): Promise<{ readonly sha256: string } | Extract<ChunkOutcome, { kind: "over" }>> {
    const { sizeBytes, sha256: announced } = this.request;
    try {
      await this.#written;
      if (this.#next !== sizeBytes)
        return over("incomplete", `${this.#next} of the announced ${sizeBytes} bytes came`);
      const sha256 = this.#hash.digest("hex");
      if (announced !== undefined && announced !== sha256)
        return over("hash-differs", `what came has the SHA-256 ${sha256}`);
      await this.#file.sync();
      return { sha256 };
    } catch (error) {
      return overBy(error);
    } finally {
      await this.#file.close();
    }
  }

  /** Lets go of the file. */
  async giveUp(): Promise<void> {
    await this.#written.catch(() => undefined); // who sent the chunk was told
    await this.#file.close();
  }

  async #take(offset: number, bytes: Uint8Array, nowMs: number): Promise<ChunkOutcome> {
    const end = offset + bytes.length;
    const isNew = offset === this.#next;
    if (!isNew && end > this.#next) return { kind: "out-of-order", next: this.#next };
    if (isNew && end > this.request.sizeBytes)
      return over("oversized", `more than the announced ${this.request.sizeBytes} bytes came`);
    if (isNew && bytes.length > 0) {
      this.#next = end;
      this.movedMs = nowMs;
      this.#hash.update(bytes);
      this.#written = this.#written.then(() => this.#write(offset, bytes));
      this.#written.catch(() => undefined); // it is awaited below, and by whoever comes next
    }
    try {
      await this.#written;
      return { kind: "taken", next: end };
    } catch (error) {
      return overBy(error);
    }
  }

  async #write(offset: number, bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length;) {
      const { bytesWritten } = await this.#file.write(bytes, at, bytes.length - at, offset + at);
      at += bytesWritten;
    }
  }
}

function over(refusal: DeliveryRefusal, message: string): Extract<ChunkOutcome, { kind: "over" }> {
  return { kind: "over", refusal, message };
}

/** What the file system says, in words for an instrument. */
export function overBy(error: unknown): Extract<ChunkOutcome, { kind: "over" }> {
  return isCode(error, "ENOSPC", "EDQUOT")
    ? over("no-space", "there is no space for it")
    : over("failed", "it could not be kept");
}
