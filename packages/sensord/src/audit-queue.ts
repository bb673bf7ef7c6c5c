/**
 * Audit queue: hands entries to warden, who alone writes the audit, in order and until it took
 * them.
 *
 * Invariants: an entry waits while warden is away; when too many wait, `admit` refuses what would
 * have to be recorded, so that nothing happens that is not. A killed sensord loses what waited.
 */
import type { AuditEntry } from "@bulkhead/schema";
import { isSensordError, SensordError } from "./error.ts";
import { describeError, type Log } from "./log.ts";
import { pause } from "./pause.ts";
import { reconnectDelayMs } from "./reconnect-delay.ts";

const MOST_WAITING = 1000;
const RETRY = { firstMs: 200, longestMs: 5000 };
const MOST_CHARS = 500;

export interface AuditSink {
  audit(entry: AuditEntry): Promise<void>;
}

export class AuditQueue implements AsyncDisposable {
  readonly #sink: AuditSink;
  readonly #log: Log;
  readonly #stop = new AbortController();
  #waiting: readonly AuditEntry[] = [];
  #sending: Promise<void> = Promise.resolve();
  #busy = false;

  constructor(sink: AuditSink, log: Log) {
    this.#sink = sink;
    this.#log = log;
  }

  get waiting(): number {
    return this.#waiting.length;
  }

  /** Before something that will be recorded. Throws `audit-behind`. */
  admit(): void {
    if (this.#waiting.length >= MOST_WAITING) {
      throw new SensordError("audit-behind", "what would have to be recorded cannot be at present");
    }
  }

  /** Texts are cut to what an entry may hold. */
  append(kind: string, subject: string, detail: AuditEntry["detail"]): void {
    const cut = Object.entries(detail).map(([key, value]) => [
      key,
      typeof value === "string" ? value.slice(0, MOST_CHARS) : value,
    ]);
    const entry = { kind, subject, detail: Object.fromEntries(cut) };
    this.#waiting = [...this.#waiting, entry].slice(-2 * MOST_WAITING);
    if (!this.#busy) this.#sending = this.#send(this.#stop.signal);
  }

  /** Tries a last time to hand over what waits. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#sending;
    if (this.#waiting.length > 0) this.#log.error("audit entries were lost", { count: this.#waiting.length });
  }

  async #send(signal: AbortSignal): Promise<void> {
    this.#busy = true;
    for (let failures = 0; this.#waiting.length > 0;) {
      const entry = this.#waiting[0];
      if (entry === undefined) break;
      try {
        await this.#sink.audit(entry);
        this.#drop(entry);
        failures = 0;
      } catch (error) {
        if (isRefused(error)) {
          // It would be refused again and again, and hold up all others.
          this.#log.error("warden refused an audit entry", { kind: entry.kind, ...describeError(error) });
          this.#drop(entry);
          continue;
        }
        if (failures === 0) this.#log.warn("audit entries wait", describeError(error));
        if (signal.aborted) break;
        await pause(reconnectDelayMs(failures, RETRY, Math.random()), signal);
        failures += 1;
      }
    }
    this.#busy = false;
  }

  #drop(entry: AuditEntry): void {
    this.#waiting = this.#waiting.filter((other) => other !== entry);
  }
}

/** "Too many" (429) is no refusal of this entry: it waits, and what would be recorded is refused in time. */
function isRefused(error: unknown): boolean {
  const status = isSensordError(error) ? error.fields["status"] : null;
  return typeof status === "number" && status >= 400 && status < 500 && status !== 429;
}
