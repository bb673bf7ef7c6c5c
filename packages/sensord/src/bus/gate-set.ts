/**
 * Gate set: one gate for each instrument that may be on the bus, and their counts.
 *
 * Counts outlive a gate: they grow for as long as sensord lives.
 */
import type { BusUser } from "@bulkhead/core";
import type { Name } from "@bulkhead/schema";
import { BusGate, type GateOptions } from "./gate.ts";
import { GateCounts, type RefusalReason } from "./gate-counts.ts";
import type { Credentials } from "./handshake.ts";

export interface GateSetOptions extends Pick<
  GateOptions,
  "brokerPort" | "limits" | "bytePrice" | "log" | "book" | "deliveries"
> {
  readonly socketsDir: string;
  credentials(instrument: Name): Credentials;
  /** Each time that something of an instrument's was refused. */
  onRefused(instrument: Name, reason: RefusalReason): void;
}

export class GateSet implements AsyncDisposable {
  readonly #options: GateSetOptions;
  readonly #gates = new Map<Name, BusGate>();
  readonly #counts = new Map<Name, GateCounts>();

  constructor(options: GateSetOptions) {
    this.#options = options;
  }

  names(): readonly Name[] {
    return [...this.#gates.keys()];
  }

  /** Gates whose socket is not bound: their directory is not there yet. */
  waiting(): readonly Name[] {
    return [...this.#gates].flatMap(([name, gate]) => (gate.listening ? [] : [name]));
  }

  counts(instrument: Name): GateCounts {
    const former = this.#counts.get(instrument);
    if (former !== undefined) return former;
    const counts = new GateCounts((reason) => this.#options.onRefused(instrument, reason));
    this.#counts.set(instrument, counts);
    return counts;
  }

  /** Closes the gates of all but these instruments, with their connections. */
  async closeOthers(stay: readonly Name[]): Promise<void> {
    for (const [name, gate] of this.#gates) {
      if (stay.includes(name)) continue;
      this.#gates.delete(name);
      await gate[Symbol.asyncDispose]();
    }
  }

  /** Opens the gates that are missing; those that are open take their new permissions. */
  open(users: readonly BusUser[]): void {
    const { socketsDir, brokerPort, limits, bytePrice, log, book, deliveries } = this.#options;
    for (const user of users) {
      const { name } = user;
      const gate = this.#gates.get(name);
      if (gate !== undefined) {
        gate.setUser(user);
        continue;
      }
      const opened = new BusGate({
        brokerPort,
        limits,
        ...(bytePrice === undefined ? {} : { bytePrice }),
        log,
        book,
        deliveries,
        instrument: name,
        socketPath: `${socketsDir}/${name}/bus.sock`,
        user,
        credentials: this.#options.credentials(name),
        counts: this.counts(name),
      });
      this.#gates.set(name, opened);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.closeOthers([]);
  }
}
