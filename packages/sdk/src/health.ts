/**
 * Health: what an instrument says of itself, every 5 s and at each change.
 *
 * Invariants: a report is always whole; changes within a moment become one report, but `flush`
 * sends at once, so that the last counters of one start of a tool go out before the next start's.
 */
import type { HealthReport } from "@bulkhead/schema";

export interface HealthSource {
  /** What changes by itself and is read at each report. */
  readonly events: () => HealthReport["events"];
  readonly configVersion: () => string | null;
  readonly send: (report: HealthReport) => boolean;
}

/** What the instrument sets; the rest is read from the source. */
export type HealthState = Pick<HealthReport, "state" | "detail" | "restarts" | "packets" | "oldestRecord">;

const INTERVAL_MS = 5_000;
const SETTLE_MS = 50;
const MAX_DETAIL = 500;

export class Health {
  readonly #source: HealthSource;
  readonly #timer: NodeJS.Timeout;
  #settling: NodeJS.Timeout | null = null;
  #state: HealthState = {
    state: "starting",
    detail: "",
    restarts: 0,
    packets: null,
    oldestRecord: null,
  };

  constructor(source: HealthSource) {
    this.#source = source;
    this.#timer = setInterval(() => this.flush(), INTERVAL_MS);
    this.#timer.unref();
  }

  /** Changes some of it; reports soon if anything is different. */
  set(change: Partial<HealthState>): void {
    const next = { ...this.#state, ...change };
    next.detail = next.detail.slice(0, MAX_DETAIL);
    if (JSON.stringify(next) === JSON.stringify(this.#state)) return;
    this.#state = next;
    this.#settling ??= setTimeout(() => this.flush(), SETTLE_MS);
  }

  ready(detail = ""): void {
    this.set({ state: "ready", detail });
  }

  degraded(detail: string): void {
    this.set({ state: "degraded", detail });
  }

  report(): HealthReport {
    return {
      ...this.#state,
      configVersion: this.#source.configVersion(),
      events: this.#source.events(),
    };
  }

  /** Sends now. */
  flush(): void {
    if (this.#settling !== null) clearTimeout(this.#settling);
    this.#settling = null;
    this.#source.send(this.report());
  }

  close(): void {
    clearInterval(this.#timer);
    this.flush();
  }
}
