/**
 * UI watchdog: tells when a connection carries many bytes that are no payload (floods of 1xx,
 * WINDOW_UPDATE, PRIORITY or unknown frames keep a core busy, and HTTP/2 has no limit of its own
 * for them). Pure bookkeeping; the session acts on it.
 */
import type { UiLimits } from "./ui-limits.ts";

/** Frame heads and read-ahead that come with payload which nobody has read yet. */
const STREAM_SLACK_BYTES = 256 * 1024;
const BASE_SLACK_BYTES = 1024 * 1024;

export class UiWatchdog {
  readonly #limits: UiLimits;
  #readBytes = 0;
  #payloadBytes = 0;
  #debtBytes = 0;
  #checkedAtMs: number;

  constructor(limits: UiLimits, nowMs: number) {
    this.#limits = limits;
    this.#checkedAtMs = nowMs;
  }

  payload(bytes: number): void {
    this.#payloadBytes += bytes;
  }

  /** The head of a response came; it may be large. */
  head(): void {
    this.#payloadBytes += this.#limits.headerListBytes;
  }

  /** A stream ended; what it had buffered will never be read. */
  ended(): void {
    this.#payloadBytes += this.#streamBytes();
  }

  /** True: too much was read that was no payload. `readBytes` is the connection's count so far. */
  check(readBytes: number, streams: number, nowMs: number): boolean {
    const elapsedMs = Math.max(0, nowMs - this.#checkedAtMs);
    const allowed = this.#payloadBytes + (this.#limits.idleBytesPerSecond * elapsedMs) / 1000;
    this.#debtBytes = Math.max(0, this.#debtBytes + (readBytes - this.#readBytes) - allowed);
    this.#readBytes = readBytes;
    this.#payloadBytes = 0;
    this.#checkedAtMs = nowMs;
    return this.#debtBytes > BASE_SLACK_BYTES + streams * this.#streamBytes();
  }

  #streamBytes(): number {
    return this.#limits.streamWindowBytes + STREAM_SLACK_BYTES;
  }
}
