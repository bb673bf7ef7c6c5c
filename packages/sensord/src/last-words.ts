/**
 * Last words: what an instrument that ended by itself logged before, for the status.
 *
 * Invariants: its log is read once for each end, and again where the broker was away; who is no longer called
 * crashing has no last words. It judges nothing.
 */
import type { LogLine, Name, WardenState } from "@bulkhead/schema";
import { describeError, type Log } from "./log.ts";

const LAST_WORDS = 5;

export interface LastWordsPorts {
  /** The newest lines, oldest first. @throws where the broker is away */
  logs(instrument: Name, limit: number, signal: AbortSignal): AsyncIterable<LogLine>;
  readonly log: Log;
}

/** `ends`: how many ends of the instrument these lines follow; null while they could not be read. */
interface Entry {
  ends: number | null;
  lines: readonly LogLine[];
}

export class LastWords implements AsyncDisposable {
  readonly #ports: LastWordsPorts;
  readonly #entries = new Map<Name, Entry>();
  readonly #stop = new AbortController();
  readonly #reading = new Map<Name, Promise<void>>();

  constructor(ports: LastWordsPorts) {
    this.#ports = ports;
  }

  follow(crashes: WardenState["crashes"]): void {
    const ends = new Map(crashes.map(({ instrument, count }) => [instrument, count]));
    for (const name of this.#entries.keys()) if (!ends.has(name)) this.#entries.delete(name);
    for (const [name, count] of ends) {
      if (this.#entries.get(name)?.ends === count || this.#reading.has(name)) continue;
      const reading = this.#read(name, count).finally(() => this.#reading.delete(name));
      this.#reading.set(name, reading);
    }
  }

  of(instrument: Name): readonly LogLine[] {
    return this.#entries.get(instrument)?.lines ?? [];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await Promise.all(this.#reading.values());
  }

  async #read(instrument: Name, ends: number): Promise<void> {
    const entry: Entry = this.#entries.get(instrument) ?? { ends: null, lines: [] };
    this.#entries.set(instrument, entry);
    try {
      const lines: LogLine[] = [];
      for await (const line of this.#ports.logs(instrument, LAST_WORDS, this.#stop.signal)) lines.push(line);
      Object.assign(entry, { ends, lines });
    } catch (error) {
      // Asked again at warden's next word.
      this.#ports.log.info("last words are read later", { instrument, ...describeError(error) });
    }
  }
}
