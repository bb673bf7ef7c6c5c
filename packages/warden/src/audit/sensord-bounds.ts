/**
 * Bounds on what sensord may add to the audit log: a rate with bursts (token bucket), and a size
 * for each entry. What is over is refused and counted, and the count is what gets recorded.
 */
export interface SensordLimits {
  readonly burst: number;
  readonly perSecond: number;
  readonly entryBytes: number;
}

export const SENSORD_LIMITS: SensordLimits = { burst: 500, perSecond: 20, entryBytes: 4096 };

export type Refusal = "rate" | "size" | "shape";

export class SensordBounds {
  readonly #limits: SensordLimits;
  readonly #nowMs: () => number;
  #tokens: number;
  #filledMs: number;
  #refused = { rate: 0, size: 0, shape: 0 };

  /** @param nowMs a clock that never goes back */
  constructor(limits: SensordLimits, nowMs: () => number) {
    this.#limits = limits;
    this.#nowMs = nowMs;
    this.#tokens = limits.burst;
    this.#filledMs = nowMs();
  }

  /** Null: one entry of this size may come in. Each call counts. */
  judge(entryBytes: number): Refusal | null {
    if (entryBytes > this.#limits.entryBytes) return this.refuse("size");
    const { burst, perSecond } = this.#limits;
    const nowMs = this.#nowMs();
    this.#tokens = Math.min(burst, this.#tokens + ((nowMs - this.#filledMs) / 1000) * perSecond);
    this.#filledMs = nowMs;
    if (this.#tokens < 1) return this.refuse("rate");
    this.#tokens -= 1;
    return null;
  }

  refuse<R extends Refusal>(why: R): R {
    this.#refused[why] += 1;
    return why;
  }

  /** What was refused since this was last asked; null where nothing was. */
  takeRefused(): Readonly<Record<Refusal, number>> | null {
    const refused = this.#refused;
    this.#refused = { rate: 0, size: 0, shape: 0 };
    return refused.rate + refused.size + refused.shape === 0 ? null : refused;
  }
}
