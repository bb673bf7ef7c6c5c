/**
 * Retention keeper: has every store forget in time, on a schedule, and knows how it stands.
 *
 * Invariants: a store is purged by the retention clock alone; an instrument is asked once at a time
 * and holds up nobody else; what could not be asked, measured or purged is shown as such and tried
 * again; each deletion is recorded with its count and never with content.
 */
import { breachesOf, cutoffOf, purgeEveryMs } from "@bulkhead/core";
import type { Name, RetentionReport, RetentionRow, SensorStatus } from "@bulkhead/schema";
import { describeError, type Log } from "../log.ts";
import { pause } from "../pause.ts";
import type { SiteView } from "../site-view.ts";
import type { ReadClock } from "./host-clock.ts";
import { BreachNews, type EmitEvent, type OpenBreach } from "./breach-news.ts";
import { eraseInstrument, type Erased } from "./erase-instrument.ts";
import type { RetentionPorts } from "./retention-ports.ts";
import { RetentionClock } from "./retention-clock-keeper.ts";
import { readRetentionFile, type RetentionState, writeRetentionFile } from "./retention-file.ts";
import { lookAtRecords, lookAtRefusals } from "./records-retention.ts";
import { breachOf, nothingFound, oldestRecords, type RetentionFinding, rowOf } from "./retention-finding.ts";
import { type RetentionSubject, retentionSubjects } from "./retention-subject.ts";
import { lookAtSlices } from "./slices-retention.ts";
import { eraseStream, purgeStream, StreamMarks } from "./stream-retention.ts";

export interface RetentionOptions {
  readonly file: string;
  readonly clock: ReadClock;
  readonly ports: RetentionPorts;
  readonly emit: EmitEvent;
  readonly log: Log;
  readonly tickMs?: number;
  /** How long an instrument may take to answer. */
  readonly answerMs?: number;
}

const TICK_MS = 5_000;
const KEEP_EVERY_MS = 60_000;
/** What did not answer, or is not there yet, is looked at sooner than its period would have it. */
const RETRY_MS = 30_000;
type Problem = SensorStatus["problems"][number];

/** What is known of one subject, and when it is looked at next, by the time since the boot. */
interface Entry {
  finding: RetentionFinding;
  dueMs: number;
  busy: boolean;
  failing: boolean;
}

/** Throws `retention-unreadable`. */
export async function openRetention(options: RetentionOptions): Promise<RetentionKeeper> {
  return new RetentionKeeper(options, await readRetentionFile(options.file, options.log));
}

export class RetentionKeeper implements AsyncDisposable {
  readonly #options: RetentionOptions;
  readonly #clock: RetentionClock;
  readonly #marks: StreamMarks;
  readonly #news: BreachNews;
  readonly #entries = new Map<string, Entry>();
  readonly #stop = new AbortController();
  readonly #running = new Set<Promise<void>>();
  #erasures: Readonly<Record<Name, string>>;
  #view: SiteView | null = null;
  #subjects: readonly RetentionSubject[] = [];
  #keptAtMs = -Infinity;
  #trouble: Problem | null = null;
  #loop: Promise<void> | null = null;

  constructor(options: RetentionOptions, state: RetentionState) {
    this.#options = options;
    this.#clock = new RetentionClock(options.clock, state.clock);
    this.#marks = new StreamMarks(state.streams);
    this.#erasures = state.erasures;
    this.#news = new BreachNews(options.emit, (...args) => options.ports.audit(...args), options.log);
  }

  start(): void {
    this.#loop ??= this.#run(this.#stop.signal);
  }

  /** What has a period under this site; a changed period is looked at soon. */
  follow(view: SiteView): void {
    const former = new Map(this.#subjects.map((subject) => [subject.key, subject]));
    this.#view = view;
    this.#subjects = retentionSubjects(view);
    for (const key of this.#entries.keys()) {
      if (!this.#subjects.some((subject) => subject.key === key)) this.#entries.delete(key);
    }
    for (const subject of this.#subjects) {
      const entry = this.#entryOf(subject);
      if (former.get(subject.key)?.period.periodMs !== subject.period.periodMs) entry.dueMs = -Infinity;
    }
    const streams = this.#subjects.flatMap(({ stream }) => (stream === null ? [] : [stream]));
    this.#marks.retain(new Set(streams));
  }

  report(): RetentionReport {
    const policy = this.#view?.checked.site.policy.retention ?? {};
    const platform = this.#subjects.find(({ owner }) => owner === "platform");
    return {
      sensor: this.#view?.sensor ?? null,
      clock: this.#clock.state(),
      policy: {
        minimumMs: policy.minimum ?? null,
        maximumMs: policy.maximum ?? null,
        platformMs: platform?.period.periodMs ?? 0,
      },
      rows: this.#rows(),
    };
  }

  /** The operator says that the host's clock is right. */
  async confirmClock(): Promise<RetentionReport["clock"]> {
    const state = this.#clock.confirm();
    await this.#keep();
    return state;
  }

  /** For an erasure request: everything of one instrument, or what is older than a moment. */
  async erase(instrument: Name, beforeMs: number | null): Promise<Erased> {
    const { ports, answerMs, clock } = this.#options;
    const order = { instrument, beforeMs, wallMs: clock().wallMs, answerMs };
    const erased = await eraseInstrument(ports, this.#marks, order);
    for (const subject of this.#subjects) {
      if (subject.owner === instrument) this.#entryOf(subject).dueMs = -Infinity;
    }
    return erased;
  }

  get problems(): readonly Problem[] {
    const { state, detail } = this.#clock.state();
    const clock =
      state === "differs" || state === "implausible"
        ? [{ target: "clock", code: `clock-${state}`, message: detail }]
        : [];
    const breaches = this.#breaches().map(({ subject, breach: { basis, oldest, record } }) => ({
      target: subject.key,
      code: "retention-breach",
      message: `keeps data longer than its period (${subject.period.by}): ${basis} ${oldest}, ${record}`,
    }));
    return [...(this.#trouble === null ? [] : [this.#trouble]), ...clock, ...breaches];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#loop;
    await Promise.all(this.#running);
    await this.#keep();
  }

  async #run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const { nowMs, uptimeMs } = this.#clock.look();
      await this.#followErasures();
      for (const subject of this.#subjects) this.#lookIfDue(subject, nowMs, uptimeMs);
      await this.#news.tell(this.#view?.sensor ?? null, this.#breaches());
      if (uptimeMs - this.#keptAtMs >= KEEP_EVERY_MS) {
        this.#keptAtMs = uptimeMs;
        await this.#keep();
      }
      await pause(this.#options.tickMs ?? TICK_MS, signal);
    }
  }

  #lookIfDue(subject: RetentionSubject, nowMs: number | null, uptimeMs: number): void {
    const entry = this.#entryOf(subject);
    if (entry.busy || uptimeMs < entry.dueMs || nowMs === null) return;
    entry.busy = true;
    entry.dueMs = uptimeMs + purgeEveryMs(subject.period.periodMs);
    const looking = this.#look(subject, entry, nowMs)
      .then(
        (whole) => {
          entry.failing = false;
          if (!whole) entry.dueMs = Math.min(entry.dueMs, uptimeMs + RETRY_MS);
        },
        (error: unknown) => {
          // The broker is away: what was known stays, and it is tried again at the next tick.
          entry.dueMs = uptimeMs;
          if (!entry.failing) {
            const fields = { store: subject.key, ...describeError(error) };
            this.#options.log.info("retention is looked at again", fields);
          }
          entry.failing = true;
        },
      )
      .finally(() => {
        entry.busy = false;
        this.#running.delete(looking);
      });
    this.#running.add(looking);
  }

  /** False: something did not answer, or is not there yet. */
  async #look(subject: RetentionSubject, entry: Entry, nowMs: number): Promise<boolean> {
    const { ports, answerMs } = this.#options;
    const { periodMs } = subject.period;
    const cutoffMs = cutoffOf(periodMs, nowMs);
    const { signal } = this.#stop;
    const former = entry.finding;
    if (subject.store === "slices") {
      const found = lookAtSlices(subject, ports.volumes(), former, nowMs);
      const overdue = breachesOf(periodMs, nowMs, found.oldest, former.overdue);
      entry.finding = { ...found.finding, overdue };
      // It costs nothing, and warden may have ended one meanwhile.
      return false;
    }
    let where = "";
    let removed: number | null = 0;
    let next = former;
    if (subject.stream !== null) {
      const found = await purgeStream(await ports.store(), this.#marks, subject.stream, nowMs, cutoffMs);
      if (found === null) return false;
      const oldest = found.oldestMs === null ? null : new Date(found.oldestMs).toISOString();
      next = {
        ...former,
        sizeBytes: found.sizeBytes,
        measured: { oldest, how: "the broker's first message" },
      };
      where = found.record;
      removed = found.removed;
    } else if (subject.store === "records") {
      const found = await lookAtRecords(ports, subject, { cutoffMs, nowMs, signal, answerMs, former });
      next = found.finding;
      where = found.record;
      removed = found.removed;
    } else {
      removed = lookAtRefusals(ports, subject.owner, cutoffMs);
    }
    if (removed !== 0) {
      const at = new Date(nowMs).toISOString();
      next = { ...next, lastPurge: { at, removed } };
      ports.audit("retention.purge", subject.owner, {
        store: subject.store,
        before: new Date(cutoffMs).toISOString(),
        // An instrument that cannot count says so, and so does the record.
        removed: removed ?? "not counted",
      });
    }
    const overdue = breachesOf(periodMs, nowMs, oldestRecords(next, where), former.overdue);
    entry.finding = { ...next, overdue };
    return subject.store !== "records" || next.reported.outcome === "answered";
  }

  /** After a destruction of an instrument's data its streams go too; each once. */
  async #followErasures(): Promise<void> {
    for (const { instrument, id } of this.#options.ports.erasures()) {
      if (this.#erasures[instrument] === id) continue;
      try {
        const store = await this.#options.ports.store();
        const events = await eraseStream(store, this.#marks, `EV_${instrument}`, null);
        const logLines = await eraseStream(store, this.#marks, `LOG_${instrument}`, null);
        this.#options.ports.audit("retention.erase", instrument, { erasure: id, events, logLines });
        this.#erasures = { ...this.#erasures, [instrument]: id };
        await this.#keep();
      } catch (error) {
        this.#options.log.info("an erasure is followed later", { instrument, ...describeError(error) });
      }
    }
  }

  async #keep(): Promise<void> {
    const state: RetentionState = {
      version: 1,
      clock: this.#clock.history,
      streams: this.#marks.kept,
      erasures: { ...this.#erasures },
    };
    try {
      await writeRetentionFile(this.#options.file, state);
      this.#trouble = null;
    } catch (error) {
      if (this.#trouble === null) {
        this.#options.log.error("the retention state is not kept", describeError(error));
      }
      const message = "the retention state cannot be written to disk";
      this.#trouble = { target: "retention", code: "retention-not-kept", message };
    }
  }

  #breaches(): readonly OpenBreach[] {
    return this.#subjects.flatMap((subject) =>
      this.#entryOf(subject).finding.overdue.map((overdue) => ({ subject, breach: breachOf(overdue) })),
    );
  }

  #rows(): RetentionRow[] {
    const { nowMs, uptimeMs } = this.#clock.look();
    return this.#subjects.map((subject) => {
      const { finding, dueMs } = this.#entryOf(subject);
      const waitMs = Math.max(0, dueMs - uptimeMs);
      const next = nowMs === null ? null : new Date(nowMs + waitMs).toISOString();
      return rowOf(subject, finding, next);
    });
  }

  #entryOf(subject: RetentionSubject): Entry {
    const known = this.#entries.get(subject.key);
    if (known !== undefined) return known;
    const entry: Entry = { finding: nothingFound(subject), dueMs: -Infinity, busy: false, failing: false };
    this.#entries.set(subject.key, entry);
    return entry;
  }
}
