/**
 * Config delivery: brings each instrument the configuration that the site wants for it, until the
 * instrument has applied or refused that version.
 *
 * Invariants: the whole configuration is sent, never a part; an answer counts only for the
 * version that it names; an instrument that (re)connects is told again, since it may have begun
 * anew (the same version twice changes nothing there). A refused version is not pressed on it.
 */
import { COMMAND_DEADLINE_MS } from "@bulkhead/core";
import { ConfigAnswer, type ConfigCommand, type ConfigFault, type Name } from "@bulkhead/schema";
import type * as z from "zod";
import { describeError, type Log } from "./log.ts";
import { type DelayLimits, reconnectDelayMs } from "./reconnect-delay.ts";
import { pause } from "./pause.ts";

const RETRY: DelayLimits = { firstMs: 500, longestMs: 30_000 };
export type ConfigFaults = readonly z.infer<typeof ConfigFault>[];

/** Asks one instrument over the bus. Throws when nobody answers in time; the answer is unchecked. */
export interface ConfigSender {
  sendConfig(
    instrument: Name,
    command: ConfigCommand,
    options: { readonly timeoutMs: number; readonly signal: AbortSignal },
  ): Promise<unknown>;
}

export interface ConfigState {
  /** The version that the site wants; null where the instrument is to have none. */
  readonly version: string | null;
  readonly outcome: "none" | "pending" | "applied" | "refused";
  readonly faults: ConfigFaults;
}

export interface ConfigDeliveryOptions {
  readonly sender: ConfigSender;
  readonly log: Log;
  /** Told once for each version that an instrument refuses. */
  readonly onRefused: (instrument: Name, version: string, faults: ConfigFaults) => void;
  readonly answerTimeoutMs?: number;
  readonly retry?: DelayLimits;
}

export const NO_CONFIG: ConfigState = { version: null, outcome: "none", faults: [] };

interface Delivery {
  readonly command: ConfigCommand;
  readonly attempt: AbortController;
  readonly state: ConfigState;
}

export class ConfigDelivery implements Disposable {
  readonly #deliveries = new Map<Name, Delivery>();
  readonly #waiting = new Set<() => void>();
  readonly #options: ConfigDeliveryOptions;

  constructor(options: ConfigDeliveryOptions) {
    this.#options = options;
  }

  /** What shall be in force, by instrument; one that is left out is told nothing more. */
  want(configs: ReadonlyMap<Name, ConfigCommand>): void {
    for (const [instrument, delivery] of this.#deliveries) {
      if (configs.has(instrument)) continue;
      delivery.attempt.abort();
      this.#deliveries.delete(instrument);
    }
    for (const [instrument, command] of configs) {
      if (this.#deliveries.get(instrument)?.command.version !== command.version) {
        this.#begin(instrument, command);
      }
    }
    this.#tell();
  }

  /** The instrument is connected and subscribed. */
  hello(instrument: Name): void {
    const delivery = this.#deliveries.get(instrument);
    if (delivery !== undefined) this.#begin(instrument, delivery.command);
  }

  state(instrument: Name): ConfigState {
    return this.#deliveries.get(instrument)?.state ?? NO_CONFIG;
  }

  /** Version that is wanted of each instrument now. */
  versions(): ReadonlyMap<Name, string> {
    return new Map([...this.#deliveries].map(([name, d]) => [name, d.command.version]));
  }

  /** Resolves when each of these has answered, or when `signal` is aborted; it does not throw. */
  async settled(instruments: readonly Name[], signal: AbortSignal): Promise<void> {
    const open = (): boolean => instruments.some((name) => this.state(name).outcome === "pending");
    while (open() && !signal.aborted) {
      const changed = Promise.withResolvers<void>();
      const wake = (): void => changed.resolve();
      this.#waiting.add(wake);
      signal.addEventListener("abort", wake, { once: true });
      await changed.promise;
      this.#waiting.delete(wake);
      signal.removeEventListener("abort", wake);
    }
  }

  [Symbol.dispose](): void {
    this.want(new Map());
  }

  #begin(instrument: Name, command: ConfigCommand): void {
    const former = this.#deliveries.get(instrument);
    former?.attempt.abort();
    const attempt = new AbortController();
    // A repetition of the same version keeps its outcome until there is another.
    const state: ConfigState =
      former?.command.version === command.version
        ? former.state
        : { version: command.version, outcome: "pending", faults: [] };
    this.#deliveries.set(instrument, { command, attempt, state });
    void this.#deliver(instrument, command, attempt.signal);
  }

  async #deliver(instrument: Name, command: ConfigCommand, signal: AbortSignal): Promise<void> {
    for (let failures = 0; !signal.aborted; failures += 1) {
      const answer = await this.#ask(instrument, command, signal, failures === 0);
      if (signal.aborted) return;
      if (answer !== null) return this.#settle(instrument, command, answer);
      await pause(reconnectDelayMs(failures, this.#options.retry ?? RETRY, Math.random()), signal);
    }
  }

  /** Null where there was no answer that counts. */
  async #ask(
    instrument: Name,
    command: ConfigCommand,
    signal: AbortSignal,
    isFirst: boolean,
  ): Promise<ConfigAnswer | null> {
    const timeoutMs = this.#options.answerTimeoutMs ?? COMMAND_DEADLINE_MS;
    try {
      const reply = await this.#options.sender.sendConfig(instrument, command, {
        timeoutMs,
        signal,
      });
      const answer = ConfigAnswer.safeParse(reply);
      if (answer.success && answer.data.version === command.version) return answer.data;
      this.#options.log.warn("an instrument's answer to its configuration does not count", {
        instrument,
        version: command.version,
      });
    } catch (error) {
      // Nobody there yet is the common case: the instrument greets when it is.
      if (!signal.aborted && isFirst) {
        this.#options.log.info("configuration not delivered yet", {
          instrument,
          version: command.version,
          ...describeError(error),
        });
      }
    }
    return null;
  }

  #settle(instrument: Name, command: ConfigCommand, answer: ConfigAnswer): void {
    const delivery = this.#deliveries.get(instrument);
    if (delivery === undefined || delivery.command !== command) return;
    const { version } = command;
    const known = delivery.state.outcome;
    const state: ConfigState =
      answer.outcome === "applied"
        ? { version, outcome: "applied", faults: [] }
        : { version, outcome: "refused", faults: answer.faults };
    this.#deliveries.set(instrument, { ...delivery, state });
    this.#options.log.info("configuration answered", {
      instrument,
      version,
      outcome: answer.outcome,
    });
    if (answer.outcome === "refused" && known !== "refused") {
      this.#options.onRefused(instrument, version, answer.faults);
    }
    this.#tell();
  }

  #tell(): void {
    for (const wake of this.#waiting) wake();
  }
}
