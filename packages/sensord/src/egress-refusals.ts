/**
 * Egress refusals on their way into the audit: the first of a kind at once, its repeats counted and told once a minute,
 * so that an instrument that tries in vain writes a line and not the disk full.
 */
import type { AuditEntry, EgressRecord } from "@bulkhead/schema";

const PERIOD_MS = 60_000;
/** Kinds that are told apart within a period; further ones are counted together. */
const MOST_KINDS = 200;

export interface RefusalSink {
  append(kind: string, subject: string, detail: AuditEntry["detail"]): void;
}

interface Repeats {
  readonly instrument: string;
  readonly detail: AuditEntry["detail"];
  count: number;
}

export class EgressRefusals implements Disposable {
  readonly #sink: RefusalSink;
  readonly #timer: NodeJS.Timeout;
  #kinds = new Map<string, Repeats>();

  constructor(sink: RefusalSink, periodMs: number = PERIOD_MS) {
    this.#sink = sink;
    this.#timer = setInterval(() => this.#tell(), periodMs);
    this.#timer.unref();
  }

  record({ instrument, host, port, reason, address, unrecorded }: EgressRecord): void {
    const known = this.#kinds.size < MOST_KINDS;
    const detail = known ? { host, port, reason: reason ?? "", address } : { reason: "various" };
    const key = JSON.stringify([instrument, detail]);
    const found = this.#kinds.get(key);
    if (found !== undefined) {
      found.count += 1 + unrecorded;
      return;
    }
    this.#kinds.set(key, { instrument, detail, count: 0 });
    this.#sink.append("egress.refused", instrument, { ...detail, count: 1 + unrecorded });
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
    this.#tell();
  }

  #tell(): void {
    for (const { instrument, detail, count } of this.#kinds.values()) {
      if (count > 0) this.#sink.append("egress.refused", instrument, { ...detail, count });
    }
    this.#kinds = new Map();
  }
}
