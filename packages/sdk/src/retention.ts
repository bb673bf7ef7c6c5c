/**
 * Retention: has an instrument's own store forget what is past its period, and says what the
 * oldest record is.
 *
 * Invariants: one purge at a time; without a period nothing is purged; a failing purge is reported
 * and tried again at the next turn. What a record's age is, the store decides.
 */
import { errorText } from "./error.ts";

export interface RetentionStore {
  /** Removes what is older than this moment; resolves when it is done. */
  readonly purge: (before: Date) => Promise<void> | void;
  /** Time of the oldest record, or null where there is none. */
  readonly oldest: () => Promise<Date | null> | Date | null;
}

export interface RetentionOptions extends RetentionStore {
  readonly everyMs?: number;
  readonly now?: () => number;
  /** RFC 3339, or null. */
  readonly report: (oldestRecord: string | null) => void;
  readonly onProblem: (text: string) => void;
}

const EVERY_MS = 60_000;

export class Retention {
  readonly #options: RetentionOptions;
  readonly #timer: NodeJS.Timeout;
  #periodMs: number | null = null;
  #turn: Promise<void> = Promise.resolve();

  constructor(options: RetentionOptions) {
    this.#options = options;
    this.#timer = setInterval(() => void this.run(), options.everyMs ?? EVERY_MS);
    this.#timer.unref();
  }

  /** Sets the period and purges at once; null keeps everything. */
  setPeriod(periodMs: number | null): Promise<void> {
    this.#periodMs = periodMs;
    return this.run();
  }

  /** Purges and reports now. */
  run(): Promise<void> {
    this.#turn = this.#turn.then(() => this.#purge());
    return this.#turn;
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    await this.#turn;
  }

  async #purge(): Promise<void> {
    const now = this.#options.now ?? Date.now;
    try {
      if (this.#periodMs !== null) await this.#options.purge(new Date(now() - this.#periodMs));
      const oldest = await this.#options.oldest();
      this.#options.report(oldest?.toISOString() ?? null);
    } catch (error) {
      this.#options.onProblem(`retention: ${errorText(error)}`);
    }
  }
}
