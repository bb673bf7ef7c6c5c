/**
 * Warden watch: the latest state of warden, kept up to date over one stream that is opened again
 * whenever it ends.
 *
 * Invariants: while warden is away the last state stays, and `connected` says so; a state that
 * does not fit the schema is never taken. It never gives up and never throws to its owner.
 */
import type { WardenState } from "@bulkhead/schema";
import { describeError, type Log } from "./log.ts";
import { pause } from "./pause.ts";
import { type DelayLimits, reconnectDelayMs } from "./reconnect-delay.ts";
import type { WardenClient } from "./warden-client.ts";

const DELAY: DelayLimits = { firstMs: 200, longestMs: 5000 };

export interface WardenWatch extends AsyncDisposable {
  /** Null until warden was heard for the first time. */
  readonly latest: WardenState | null;
  readonly connected: boolean;
  /** Why not, in plain words; empty while connected. */
  readonly trouble: string;
  /** The latest state; waits for the first, which is there when warden has looked at the host. Null where none comes. */
  first(timeoutMs: number): Promise<WardenState | null>;
  /** Called with each new state and at each change of `connected`. */
  onChange(listener: () => void): void;
}

export function startWardenWatch(client: Pick<WardenClient, "watch">, log: Log): WardenWatch {
  return new Watch(client, log);
}

class Watch implements WardenWatch {
  latest: WardenState | null = null;
  connected = false;
  trouble = "not heard yet";
  readonly #client: Pick<WardenClient, "watch">;
  readonly #log: Log;
  readonly #listeners = new Set<() => void>();
  readonly #stop = new AbortController();
  readonly #done: Promise<void>;

  constructor(client: Pick<WardenClient, "watch">, log: Log) {
    this.#client = client;
    this.#log = log;
    this.#done = this.#run(this.#stop.signal);
  }

  onChange(listener: () => void): void {
    this.#listeners.add(listener);
  }

  async first(timeoutMs: number): Promise<WardenState | null> {
    if (this.latest !== null) return this.latest;
    const { promise, resolve } = Promise.withResolvers<void>();
    const listener = (): void => {
      if (this.latest !== null) resolve();
    };
    const timer = setTimeout(resolve, timeoutMs);
    this.#listeners.add(listener);
    await promise;
    clearTimeout(timer);
    this.#listeners.delete(listener);
    return this.latest;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#done;
  }

  async #run(signal: AbortSignal): Promise<void> {
    for (let failures = 0; !signal.aborted; failures += 1) {
      try {
        for await (const state of this.#client.watch(signal)) {
          failures = 0;
          this.#take(state);
        }
        this.#lose("warden closed its stream");
      } catch (error) {
        if (signal.aborted) return;
        this.#lose(error instanceof Error ? error.message : "warden cannot be heard", error);
      }
      await pause(reconnectDelayMs(failures, DELAY, Math.random()), signal);
    }
  }

  #take(state: WardenState): void {
    if (!this.connected) this.#log.info("warden is heard", { revision: state.revision });
    this.latest = state;
    this.connected = true;
    this.trouble = "";
    this.#tell();
  }

  #lose(trouble: string, error?: unknown): void {
    if (this.connected || this.trouble !== trouble) {
      this.#log.warn("warden is away", error === undefined ? { error: trouble } : describeError(error));
    }
    this.connected = false;
    this.trouble = trouble;
    this.#tell();
  }

  #tell(): void {
    for (const listener of this.#listeners) listener();
  }
}
