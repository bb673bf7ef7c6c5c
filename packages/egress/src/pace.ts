/** Pace: how often something may happen: `burst` at once, `perSecond` in the long run. The clock is given to it. */
export class Pace {
  readonly #burst: number;
  readonly #perSecond: number;
  #tokens: number;
  #atMs: number;

  constructor(options: { readonly burst: number; readonly perSecond: number; readonly nowMs: number }) {
    this.#burst = options.burst;
    this.#perSecond = options.perSecond;
    this.#tokens = options.burst;
    this.#atMs = options.nowMs;
  }

  /** Whether it may happen now; if so, it has. */
  take(nowMs: number): boolean {
    const earned = ((nowMs - this.#atMs) / 1000) * this.#perSecond;
    this.#tokens = Math.min(this.#burst, this.#tokens + Math.max(0, earned));
    this.#atMs = nowMs;
    if (this.#tokens < 1) return false;
    this.#tokens -= 1;
    return true;
  }
}
