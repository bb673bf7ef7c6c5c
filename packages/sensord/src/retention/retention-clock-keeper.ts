/**
 * Retention clock keeper: the core's clock with the host's readings and a past that is kept.
 * Nothing else in sensord asks the host's clock what is to be deleted.
 */
import { type ClockHistory, type ClockVerdict, confirmClock, judgeClock } from "@bulkhead/core";
import type { ClockState } from "@bulkhead/schema";
import type { ReadClock } from "./host-clock.ts";

const WORDS: Readonly<Record<ClockVerdict["state"], string>> = {
  agrees: "",
  settling:
    "the host's clock is later than before the boot; it is taken over when it has agreed with itself for a day",
  differs:
    "the host's clock was set while the sensor ran; until somebody confirms it, the earlier of the two times counts",
  implausible: "the host's clock is before this program was made; nothing is deleted by time",
};

export class RetentionClock {
  readonly #read: ReadClock;
  #history: ClockHistory | null;
  #verdict: ClockVerdict;

  constructor(read: ReadClock, history: ClockHistory | null) {
    this.#read = read;
    this.#history = history;
    this.#verdict = this.#judge();
  }

  get history(): ClockHistory | null {
    return this.#history;
  }

  /** Reads the clocks; `nowMs` null: there is no time to delete by. `uptimeMs` is for timing alone. */
  look(): { readonly nowMs: number | null; readonly uptimeMs: number; readonly state: ClockState["state"] } {
    this.#verdict = this.#judge();
    const { nowMs, state } = this.#verdict;
    return { nowMs, state, uptimeMs: this.#read().uptimeMs };
  }

  /** The operator says that the host's clock is right. */
  confirm(): ClockState {
    this.#verdict = confirmClock(this.#history, this.#read());
    this.#history = this.#verdict.history;
    return this.state();
  }

  state(): ClockState {
    const { nowMs, state, gapMs } = this.#verdict;
    return {
      state,
      now: nowMs === null ? null : new Date(nowMs).toISOString(),
      wall: new Date(this.#read().wallMs).toISOString(),
      gapMs,
      detail: WORDS[state],
    };
  }

  #judge(): ClockVerdict {
    const verdict = judgeClock(this.#history, this.#read());
    this.#history = verdict.history;
    return verdict;
  }
}
