/**
 * Hold state: what the holder must remember over its own death: which instruments somebody stopped
 * by hand, when each one ended by itself, and whose data was destroyed last and when.
 */
import { join } from "node:path";
import { CRASH_WINDOW_MS, nextStartMs } from "@bulkhead/core";
import { Erasure, type InstallationLayout, Name } from "@bulkhead/schema";
import * as z from "zod";
import { writeFileAtomically } from "../site/atomic-file.ts";
import { readIfPresent } from "../site/read-file.ts";

const HoldFile = z.strictObject({
  stopped: z.array(Name),
  ends: z.record(Name, z.array(z.strictObject({ atMs: z.number(), reason: z.string() }))),
  erasures: z.array(Erasure).default([]),
});
type Ends = z.infer<typeof HoldFile>["ends"];

export class HoldState {
  readonly #file: string;
  readonly #stopped: Set<Name>;
  #ends: Ends;
  #erasures: readonly Erasure[];

  private constructor(file: string, { stopped, ends, erasures }: z.infer<typeof HoldFile>) {
    this.#file = file;
    this.#stopped = new Set(stopped);
    this.#ends = ends;
    this.#erasures = erasures;
  }

  static async open(layout: InstallationLayout): Promise<HoldState> {
    const file = join(layout.wardenDir, "hold.json");
    const text = await readIfPresent(file);
    const nothing = { stopped: [], ends: {}, erasures: [] };
    return new HoldState(file, text === null ? nothing : HoldFile.parse(JSON.parse(text)));
  }

  get stopped(): readonly Name[] {
    return [...this.#stopped].toSorted();
  }

  async setStopped(instrument: Name, stopped: boolean): Promise<void> {
    if (stopped) this.#stopped.add(instrument);
    else this.#stopped.delete(instrument);
    await this.#save();
  }

  /** Records that an instrument ended by itself, or could not be started. */
  async recordEnd(instrument: Name, atMs: number, reason: string): Promise<void> {
    const recent = (this.#ends[instrument] ?? []).filter((end) => atMs - end.atMs < CRASH_WINDOW_MS);
    this.#ends = { ...this.#ends, [instrument]: [...recent, { atMs, reason: reason.slice(0, 500) }] };
    await this.#save();
  }

  /** Somebody started it by hand: the past does not count against it. */
  async forgetEnds(instrument: Name): Promise<void> {
    this.#ends = Object.fromEntries(Object.entries(this.#ends).filter(([name]) => name !== instrument));
    await this.#save();
  }

  get erasures(): readonly Erasure[] {
    return this.#erasures;
  }

  /** Records that an instrument's data was destroyed; the last of each instrument is kept. */
  async recordErasure(erasure: Erasure): Promise<void> {
    const others = this.#erasures.filter(({ instrument }) => instrument !== erasure.instrument);
    this.#erasures = [...others, erasure];
    await this.#save();
  }

  /** Forgets instruments that the site no longer has. */
  async keepOnly(instruments: readonly Name[]): Promise<void> {
    for (const name of this.#stopped) if (!instruments.includes(name)) this.#stopped.delete(name);
    this.#ends = Object.fromEntries(
      Object.entries(this.#ends).filter(([name]) => instruments.includes(name)),
    );
    this.#erasures = this.#erasures.filter(({ instrument }) => instruments.includes(instrument));
    await this.#save();
  }

  /** Recent ends of each instrument, and from when the next start is due. */
  crashes(nowMs: number): readonly {
    readonly instrument: Name;
    readonly count: number;
    readonly nextStartMs: number;
    readonly reason: string;
  }[] {
    return Object.entries(this.#ends).flatMap(([instrument, ends]) => {
      const recent = ends.filter((end) => nowMs - end.atMs < CRASH_WINDOW_MS);
      const last = recent.at(-1);
      if (last === undefined) return [];
      const next = nextStartMs(
        recent.map((end) => end.atMs),
        nowMs,
      );
      return [{ instrument, count: recent.length, nextStartMs: next, reason: last.reason }];
    });
  }

  async #save(): Promise<void> {
    await writeFileAtomically(
      this.#file,
      JSON.stringify({ stopped: this.stopped, ends: this.#ends, erasures: this.#erasures }),
    );
  }
}
