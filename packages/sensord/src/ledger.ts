/**
 * Loss ledger: joins what warden counts outside with what each tool reports, for every tap, and
 * keeps the sums over restarts of tools, taps, warden and sensord.
 *
 * Invariants: a row is kept on disk before anybody is shown it, so that no figure is ever seen to
 * go back over a restart; a tap's account ends when the site gives its instrument no tap.
 */
import type { HealthReport, LedgerFigures, LedgerRow, Name, TapCounters } from "@bulkhead/schema";
import { countOutside, countTool, type ToolCount } from "./ledger-count.ts";
import { advanceFigures, NO_FIGURES } from "./ledger-figures.ts";
import { readLedgerFile, type TapAccount, writeLedgerFile } from "./ledger-file.ts";
import { choosePath, type Sample, SAMPLES_KEPT } from "./ledger-path.ts";
import { describeError, type Log } from "./log.ts";

const MEASURED = ["seen", "filtered", "mirrored", "notMirrored", "wireDropped", "received", "guardDropped"];
const REPORTED = ["processed", "toolDropped"];

export interface LedgerOptions {
  readonly file: string;
  readonly log: Log;
  readonly counters: () => Promise<readonly TapCounters[]>;
  /** Milliseconds of a clock that does not jump. */
  readonly now: () => number;
}

/** What lies in memory alone: readings not yet concluded from, and when the tool was heard. */
interface Recent {
  samples: readonly Sample[];
  reportedAtMs: number | null;
  running: boolean;
  expectedSinceMs: number;
}

/** Throws `ledger-unreadable`. */
export async function openLedger(options: LedgerOptions): Promise<Ledger> {
  return new Ledger(options, await readLedgerFile(options.file, options.log));
}

export class Ledger {
  readonly #options: LedgerOptions;
  readonly #accounts = new Map<Name, TapAccount>();
  readonly #tools = new Map<Name, ToolCount>();
  readonly #recent = new Map<Name, Recent>();
  /** Null until the site is known. */
  #expected: ReadonlySet<Name> | null = null;
  #shown: readonly LedgerRow[];
  #kept = "";
  /** Why the accounts are not kept on disk at present; null while they are. */
  trouble: string | null = null;

  constructor(options: LedgerOptions, accounts: readonly TapAccount[]) {
    this.#options = options;
    for (const account of accounts) {
      this.#accounts.set(account.instrument, account);
      if (account.tool !== null) this.#tools.set(account.instrument, account.tool);
    }
    this.#shown = this.#rows();
  }

  get rows(): readonly LedgerRow[] {
    return this.#shown;
  }

  /** A report of an instrument; one without packets is none. */
  report(instrument: Name, { packets, state }: HealthReport): void {
    if (packets === null) return;
    this.#tools.set(instrument, countTool(this.#tools.get(instrument) ?? null, packets));
    // A tool that does not answer its agent may have frames left to process: nothing follows from it.
    if (state !== "degraded") this.#recentOf(instrument).reportedAtMs = this.#options.now();
  }

  /** Which instruments have a tap by the site, and whether their containers run. */
  expect(taps: ReadonlyMap<Name, { readonly running: boolean }>): void {
    this.#expected = new Set(taps.keys());
    for (const known of [this.#accounts, this.#tools, this.#recent]) {
      for (const name of known.keys()) if (!taps.has(name)) known.delete(name);
    }
    for (const [name, { running }] of taps) {
      const recent = this.#recentOf(name);
      if (running && !recent.running) {
        recent.expectedSinceMs = this.#options.now();
        recent.reportedAtMs = null;
      }
      recent.running = running;
    }
  }

  /** Takes one reading of all taps and concludes from it. Throws what `counters` throws. */
  async sample(): Promise<void> {
    const readings = await this.#options.counters();
    const atMs = this.#options.now();
    for (const counters of readings) {
      // A tap that is being taken down may still be counted.
      if (this.#expected?.has(counters.instrument) !== false) this.#take(counters, atMs);
    }
    await this.#keep();
    this.#shown = this.#rows();
  }

  #take(counters: TapCounters, atMs: number): void {
    const { instrument, engine } = counters;
    const former = this.#accounts.get(instrument);
    const recent = this.#recentOf(instrument);
    const outside = countOutside(former?.outside ?? null, counters);
    recent.samples = [...recent.samples, { atMs, totals: outside.totals }].slice(-SAMPLES_KEPT);
    const tool = this.#tools.get(instrument) ?? null;
    const figures = this.#conclude(former?.figures ?? NO_FIGURES, recent, tool, atMs);
    this.#accounts.set(instrument, { instrument, engine, outside, tool, figures });
  }

  #conclude(former: LedgerFigures, recent: Recent, tool: ToolCount | null, nowMs: number): LedgerFigures {
    const path = choosePath(recent.samples, { ...recent, processed: tool?.processed ?? 0 }, nowMs);
    return path === null ? former : advanceFigures(former, path);
  }

  async #keep(): Promise<void> {
    const accounts = [...this.#accounts.values()];
    const text = JSON.stringify(accounts);
    if (text === this.#kept) return;
    try {
      await writeLedgerFile(this.#options.file, accounts);
      this.#kept = text;
      this.trouble = null;
    } catch (error) {
      if (this.trouble === null) this.#options.log.error("the loss ledger is not kept", describeError(error));
      this.trouble = "the loss ledger cannot be written to disk";
    }
  }

  #recentOf(instrument: Name): Recent {
    const known = this.#recent.get(instrument);
    if (known !== undefined) return known;
    const recent: Recent = {
      samples: [],
      reportedAtMs: null,
      running: false,
      expectedSinceMs: this.#options.now(),
    };
    this.#recent.set(instrument, recent);
    return recent;
  }

  #rows(): readonly LedgerRow[] {
    return [...this.#accounts.values()]
      .map(({ instrument, engine, tool, figures }) => ({
        instrument,
        engine,
        ...figures,
        measured: MEASURED,
        reported: tool === null ? [] : REPORTED,
      }))
      .toSorted((a, b) => (a.instrument < b.instrument ? -1 : 1));
  }
}
