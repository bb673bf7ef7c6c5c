/**
 * Retention: has an instrument's own stores forget what the platform says is past its period, and
 * says what the oldest record is.
 *
 * Invariants: only the platform's command deletes, with the moment that it gives; the instrument's
 * own clock decides nothing, since it may have jumped. One purge at a time. What a record's age is
 * (the time of what happened, not of its storing), the store decides.
 */
import { RetentionCommand, type RetentionAnswer } from "@bulkhead/schema";
import { errorText } from "./error.ts";

export interface RetentionStore {
  /** Removes what happened before this moment; returns how many records, or nothing where it cannot count them. */
  readonly purge: (before: Date) => Promise<number | void> | number | void;
  /** Time of the oldest record, or null where there is none. */
  readonly oldest: () => Promise<Date | null> | Date | null;
}

export interface RetentionOptions {
  readonly everyMs?: number;
  /** RFC 3339, or null. */
  readonly report: (oldestRecord: string | null) => void;
  readonly onProblem: (text: string) => void;
}

const EVERY_MS = 60_000;
const MAX_PROBLEM = 500;

export class Retention {
  readonly #options: RetentionOptions;
  readonly #stores: RetentionStore[] = [];
  readonly #timer: NodeJS.Timeout;
  #turn: Promise<unknown> = Promise.resolve();

  constructor(options: RetentionOptions) {
    this.#options = options;
    this.#timer = setInterval(() => void this.#inTurn(() => this.#look()), options.everyMs ?? EVERY_MS);
    this.#timer.unref();
  }

  add(store: RetentionStore): void {
    this.#stores.push(store);
    void this.#inTurn(() => this.#look());
  }

  /** Answers `cmd.<i>.retention`; a failure is an answer too. */
  take(payload: unknown): Promise<RetentionAnswer> {
    return this.#inTurn(async () => {
      const command = RetentionCommand.safeParse(payload);
      if (!command.success) {
        const issue = command.error.issues[0];
        return failed(`the command: ${issue?.path.join(".") ?? ""} ${issue?.message ?? "is not valid"}`);
      }
      try {
        return await this.#purge(new Date(command.data.before));
      } catch (error) {
        this.#options.onProblem(`retention: ${errorText(error)}`);
        return failed(errorText(error));
      }
    });
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    await this.#turn;
  }

  async #purge(before: Date): Promise<RetentionAnswer> {
    let removed: number | null = 0;
    for (const store of this.#stores) {
      const count = await store.purge(before);
      removed = typeof count === "number" && removed !== null ? removed + count : null;
    }
    return { removed, oldest: await this.#report() };
  }

  async #look(): Promise<void> {
    try {
      await this.#report();
    } catch (error) {
      this.#options.onProblem(`retention: ${errorText(error)}`);
    }
  }

  async #report(): Promise<string | null> {
    let oldest: Date | null = null;
    for (const store of this.#stores) {
      const own = await store.oldest();
      if (own !== null && (oldest === null || own < oldest)) oldest = own;
    }
    const text = oldest?.toISOString() ?? null;
    this.#options.report(text);
    return text;
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#turn.then(work);
    this.#turn = turn.catch(() => undefined); // its caller sees the failure
    return turn;
  }
}

function failed(text: string): RetentionAnswer {
  return { removed: null, oldest: null, problem: text.slice(0, MAX_PROBLEM) };
}
