/**
 * Sensor clock: what time it may be, by the core's retention clock and with a past of warden's own, for what cannot be
 * undone: the destruction of slices.
 *
 * Invariants: it asks nobody, so that whoever has sensord can neither hasten nor hinder a destruction; a past that
 * cannot be read makes nothing certain until root says that the clock is right.
 */
import { readFile } from "node:fs/promises";
import { uptime } from "node:os";
import { join } from "node:path";
import {
  type ClockHistory,
  type ClockReading,
  type ClockVerdict,
  confirmClock,
  judgeClock,
  type TimeSpan,
  timeSpanOf,
} from "@bulkhead/core";
import { type InstallationLayout, KeptClock, type WardenState } from "@bulkhead/schema";
import { writeFileAtomically } from "../site/atomic-file.ts";
import { readIfPresent } from "../site/read-file.ts";

const KEEP_EVERY_MS = 60_000;
const WORDS: Readonly<Record<ClockVerdict["state"], string | null>> = {
  agrees: null,
  settling: null,
  differs: "the host's clock was set, or the machine was off for more than a month",
  implausible: "the host's clock is before this program was made",
};

export type ReadClock = () => ClockReading;

export class SensorClock {
  readonly #file: string;
  readonly #read: ReadClock;
  #history: ClockHistory | null;
  #lost: boolean;
  #keptAtMs = -Infinity;

  private constructor(file: string, read: ReadClock, kept: ClockHistory | "lost" | null) {
    this.#file = file;
    this.#read = read;
    this.#lost = kept === "lost";
    this.#history = kept === "lost" ? null : kept;
  }

  static async open({ wardenDir }: Pick<InstallationLayout, "wardenDir">, read?: ReadClock) {
    const file = join(wardenDir, "clock.json");
    return new SensorClock(file, read ?? (await hostClock()), await readKept(file));
  }

  /** Between which times it is now. */
  span(): TimeSpan {
    const reading = this.#read();
    if (this.#lost) return { earliestMs: null, latestMs: reading.wallMs };
    return timeSpanOf(this.#judge(reading), reading.wallMs);
  }

  /** Why slices that are due may stay; null where they do not. */
  problem(): WardenState["problems"][number] | null {
    const { state } = this.#lost ? { state: "differs" as const } : this.#judge(this.#read());
    const why = this.#lost ? "warden's record of the time cannot be read" : WORDS[state];
    if (why === null) return null;
    const message = `${why}: slices are destroyed by the earliest time that it may be, or not at all; is the clock right? sudo bulkhead retention confirm-clock`;
    return {
      target: "slices",
      code: state === "implausible" ? "clock-implausible" : "clock-differs",
      message,
    };
  }

  /** Root says that the host's clock is right. @returns what it is now taken for */
  async confirm(): Promise<TimeSpan> {
    const reading = this.#read();
    const verdict = confirmClock(this.#history, reading);
    if (verdict.state === "agrees") this.#lost = false;
    this.#history = verdict.history;
    this.#keptAtMs = -Infinity;
    await this.keep();
    return timeSpanOf(verdict, reading.wallMs);
  }

  /** Writes its past down, once a minute. */
  async keep(): Promise<void> {
    const { uptimeMs } = this.#read();
    if (this.#history === null || uptimeMs - this.#keptAtMs < KEEP_EVERY_MS) return;
    await writeFileAtomically(this.#file, JSON.stringify(this.#history));
    this.#keptAtMs = uptimeMs;
  }

  #judge(reading: ClockReading): ClockVerdict {
    const verdict = judgeClock(this.#history, reading);
    this.#history = verdict.history;
    return verdict;
  }
}

/** `os.uptime` is CLOCK_BOOTTIME: it goes on while the machine sleeps, and nobody can set it. */
async function hostClock(): Promise<ReadClock> {
  // Read once: a process does not outlive its boot. Source: random(4).
  const bootId = (await readFile("/proc/sys/kernel/random/boot_id", "utf8")).trim();
  return () => ({ wallMs: Date.now(), uptimeMs: Math.round(uptime() * 1000), bootId });
}

async function readKept(file: string): Promise<ClockHistory | "lost" | null> {
  const text = await readIfPresent(file);
  if (text === null) return null;
  try {
    return KeptClock.parse(JSON.parse(text));
  } catch {
    return "lost"; // said as a problem, by `problem`
  }
}
