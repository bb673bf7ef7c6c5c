/**
 * Source runner: looks after one source. It runs it when it is due or asked for, and hands over what is new until
 * that is done.
 *
 * Invariants: one run or import of a source at a time; a failed hand-over is tried again and keeps no run waiting;
 * after `close` nothing of it goes on.
 */
import { errorText, jitteredDelayMs } from "@bulkhead/sdk";
import { type Deliver, deliverCurrent, isDelivered } from "./delivery.ts";
import { Problem } from "./problem.ts";
import { type RunOutcome, type RunParts, runSource } from "./run-source.ts";
import { atStart, withinReach } from "./schedule.ts";
import type { Source } from "./settings.ts";
import type { Slots } from "./slots.ts";
import type { Delivery, SourceRecord } from "./source-record.ts";
import type { SourceStore } from "./source-store.ts";
import { settingsKey } from "./take-content.ts";

export interface RunnerParts extends RunParts {
  readonly deliver: Deliver;
  /** Shared by all sources: connections at one time. */
  readonly slots: Slots;
  /** Hand-overs at one time. */
  readonly deliverySlots: Slots;
  readonly onRun: (source: Source, outcome: RunOutcome, record: SourceRecord) => void;
  readonly onDelivered: (source: Source, delivery: Delivery) => void;
  /** Something about it is different. */
  readonly onChange: () => void;
  readonly onProblem: (text: string) => void;
}

export interface SourceStatus extends Omit<SourceRecord, "formatVersion"> {
  readonly name: string;
  readonly url: string;
  readonly as: Source["as"];
  readonly state: "idle" | "waiting" | "running";
  readonly isDelivered: boolean;
  /** Why the last hand-over did not happen; null where there is none that waits. */
  readonly deliveryProblem: string | null;
  /** Why the last run's record could not be written; null where it was. */
  readonly storeProblem: string | null;
}

/** The clock may be moved meanwhile, and no timer is longer than 24 days. */
const LONGEST_SLEEP_MS = 60_000;
const DELIVERY_RETRY_MS = { first: 2_000, most: 300_000 } as const;

export class SourceRunner implements AsyncDisposable {
  readonly source: Source;
  readonly store: SourceStore;
  readonly #parts: RunnerParts;
  readonly #abort = new AbortController();
  #state: SourceStatus["state"] = "idle";
  #turn: Promise<unknown> = Promise.resolve();
  #timer: NodeJS.Timeout | undefined;
  #nextMs: number;
  #delivering: Promise<void> | null = null;
  #deliveryTimer: NodeJS.Timeout | undefined;
  #deliveryFailures = 0;
  #deliveryProblem: string | null = null;
  #storeProblem: string | null = null;

  /** @param isChanged somebody has just given it other settings: it is due, whatever was decided under the former */
  constructor(parts: RunnerParts, source: Source, store: SourceStore, isChanged: boolean) {
    this.#parts = parts;
    this.source = source;
    this.store = store;
    const { current, nextRunAt } = store.record;
    const isOther = isChanged || (current !== null && current.settingsKey !== settingsKey(source));
    const keptMs = nextRunAt === null || isOther ? null : Date.parse(nextRunAt);
    this.#nextMs = atStart(parts.now(), source, keptMs, parts.random);
    this.#arm();
    this.#deliver();
  }

  get status(): SourceStatus {
    const { formatVersion: _, ...record } = this.store.record;
    const { name, url, as } = this.source;
    return {
      name,
      url,
      as,
      state: this.#state,
      ...record,
      nextRunAt: new Date(this.#nextMs).toISOString(),
      isDelivered: isDelivered(this.store.record, this.source),
      deliveryProblem: this.#deliveryProblem,
      storeProblem: this.#storeProblem,
    };
  }

  /** Runs it now; where it runs already, that is it. */
  fetchNow(): void {
    if (this.#state !== "idle" || this.#abort.signal.aborted) return;
    clearTimeout(this.#timer);
    this.#state = "waiting";
    this.#parts.onChange();
    this.#exclusively(() => this.#run()).catch((error: unknown) => {
      this.#parts.onProblem(`${this.source.name}: ${errorText(error)}`);
    });
  }

  /** Takes something that came another way, when no run is under way. */
  async take<T>(work: (store: SourceStore) => Promise<T>): Promise<T> {
    const taken = await this.#exclusively(() => {
      if (this.#abort.signal.aborted) throw new Problem("stopped", "its settings changed meanwhile");
      return work(this.store);
    });
    this.#deliver();
    this.#parts.onChange();
    return taken;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#abort.abort();
    clearTimeout(this.#timer);
    clearTimeout(this.#deliveryTimer);
    await this.#turn;
    await this.#delivering;
  }

  #arm(): void {
    clearTimeout(this.#timer);
    if (this.#abort.signal.aborted) return;
    const nowMs = this.#parts.now();
    this.#nextMs = withinReach(nowMs, this.source, this.#nextMs);
    const waitMs = this.#nextMs - nowMs;
    const awake = (): void => (waitMs > LONGEST_SLEEP_MS ? this.#arm() : this.fetchNow());
    this.#timer = setTimeout(awake, Math.max(0, Math.min(waitMs, LONGEST_SLEEP_MS)));
  }

  async #run(): Promise<void> {
    const { signal } = this.#abort;
    // Where not even the record can be written, it is tried again after a whole period.
    this.#nextMs = this.#parts.now() + this.source.every;
    try {
      await this.#parts.slots.use(async () => {
        if (signal.aborted) return;
        this.#state = "running";
        this.#parts.onChange();
        const outcome = await runSource(this.#parts, this.source, this.store, signal);
        const { nextRunAt } = this.store.record;
        if (nextRunAt !== null) this.#nextMs = Date.parse(nextRunAt);
        this.#storeProblem = null;
        this.#parts.onRun(this.source, outcome, this.store.record);
      });
    } catch (error) {
      this.#storeProblem = errorText(error);
      throw error;
    } finally {
      this.#state = "idle";
      this.#arm();
      this.#parts.onChange();
    }
    this.#deliver();
  }

  #exclusively<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#turn.then(work);
    this.#turn = turn.catch(() => undefined); // its caller sees the failure
    return turn;
  }

  #deliver(): void {
    clearTimeout(this.#deliveryTimer);
    if (this.#delivering !== null || this.#abort.signal.aborted) return;
    if (isDelivered(this.store.record, this.source)) return;
    this.#delivering = this.#deliverOnce().finally(() => {
      this.#delivering = null;
      // A newer version may have come meanwhile.
      if (this.#deliveryProblem === null) this.#deliver();
      this.#parts.onChange();
    });
  }

  async #deliverOnce(): Promise<void> {
    const { deliver, deliverySlots, now, onDelivered, onProblem } = this.#parts;
    try {
      const { signal } = this.#abort;
      const delivery = await deliverySlots.use(async () =>
        signal.aborted ? null : deliverCurrent(deliver, this.store, this.source, { now, signal }),
      );
      this.#deliveryFailures = 0;
      this.#deliveryProblem = null;
      if (delivery !== null) onDelivered(this.source, delivery);
    } catch (error) {
      this.#deliveryProblem = errorText(error);
      onProblem(`${this.source.name} could not be handed over: ${this.#deliveryProblem}`);
      if (this.#abort.signal.aborted) return;
      const { first, most } = DELIVERY_RETRY_MS;
      const waitMs = jitteredDelayMs(this.#deliveryFailures++, first, most, this.#parts.random);
      this.#deliveryTimer = setTimeout(() => this.#deliver(), waitMs);
    }
  }
}
