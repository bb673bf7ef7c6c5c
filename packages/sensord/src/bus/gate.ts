/**
 * Gate: one instrument's way to the bus, a Unix socket of its own.
 *
 * Invariants: which socket took the connection is the identity; anybody who can reach the socket
 * may connect (mode 0666), and who can reach it is decided by the mount; budgets are the
 * instrument's, not a connection's. It speaks to the broker only; rights are the judge's.
 */
import { createConnection, type Socket } from "node:net";
import type { BusUser } from "@bulkhead/core";
import type { Name } from "@bulkhead/schema";
import type { Log } from "../log.ts";
import type { DeliveryDesk } from "../resources/delivery-desk.ts";
import { UnixListener } from "../unix-listener.ts";
import { GateConnection } from "./gate-connection.ts";
import type { GateCounts } from "./gate-counts.ts";
import { GateRules } from "./gate-rules.ts";
import type { Credentials } from "./handshake.ts";
import type { GateLimits } from "./limits.ts";
import type { MessageBook } from "./message-book.ts";
import { TokenBucket } from "./token-bucket.ts";

export interface GateOptions {
  readonly instrument: Name;
  readonly socketPath: string;
  readonly brokerPort: number;
  readonly user: BusUser;
  readonly credentials: Credentials;
  readonly limits: GateLimits;
  /** What a byte costs of the budget at the moment; one where this is left out. */
  readonly bytePrice?: () => number;
  readonly counts: GateCounts;
  readonly book: MessageBook;
  readonly deliveries: Pick<DeliveryDesk, "admit">;
  readonly log: Log;
}

/** Connections that are told that there are too many, instead of being dropped unheard. */
const TURNED_AWAY = 16;

export class BusGate implements AsyncDisposable {
  readonly #options: GateOptions;
  readonly #connections = new Set<GateConnection>();
  readonly #budgets: Readonly<
    Record<"messages" | "bytes" | "busyMs" | "reports" | "refusals" | "connects", TokenBucket>
  >;
  readonly #listener: UnixListener;
  #user: BusUser;
  #rules: GateRules;

  constructor(options: GateOptions) {
    const { limits, instrument, user, counts, socketPath, log } = options;
    const now = nowMs();
    this.#options = options;
    this.#user = user;
    this.#rules = new GateRules(instrument, user, counts);
    this.#budgets = {
      messages: new TokenBucket(limits.messagesPerSecond, limits.messageBurst, now),
      bytes: new TokenBucket(limits.bytesPerSecond, limits.byteBurst, now),
      busyMs: new TokenBucket(limits.busyMsPerSecond, limits.busyBurstMs, now),
      reports: new TokenBucket(limits.reportsPerSecond, limits.reportBurst, now),
      refusals: new TokenBucket(limits.refusalsPerSecond, limits.refusalBurst, now),
      connects: new TokenBucket(limits.connectsPerSecond, limits.connectBurst, now),
    };
    this.#listener = new UnixListener({
      path: socketPath,
      mode: 0o666,
      maxConnections: limits.connections + TURNED_AWAY,
      onConnection: (client) => this.#accept(client),
      log,
    });
  }

  get instrument(): Name {
    return this.#options.instrument;
  }

  /** True while the socket is bound. */
  get listening(): boolean {
    return this.#listener.listening;
  }

  /** Takes new permissions; connections live on under them. True where they changed. */
  setUser(user: BusUser): boolean {
    if (JSON.stringify(user) === JSON.stringify(this.#user)) return false;
    this.#user = user;
    this.#rules = new GateRules(this.#options.instrument, user, this.#options.counts);
    return true;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#listener[Symbol.asyncDispose]();
    for (const connection of this.#connections) connection.destroy();
  }

  #accept(client: Socket): void {
    const { limits, counts, book, deliveries, instrument, brokerPort, credentials } = this.#options;
    const full = this.#connections.size >= limits.connections;
    if (full || !this.#budgets.connects.tryTake(nowMs())) {
      counts.refuse("connections", full ? "too many at one time" : "too many a second");
      client.on("error", () => undefined); // it may be gone already, and is refused anyway
      client.end("-ERR 'maximum connections exceeded'\r\n", () => client.destroy());
      return;
    }
    const broker = createConnection({ host: "127.0.0.1", port: brokerPort });
    const connection: GateConnection = new GateConnection(
      client,
      broker,
      {
        name: instrument,
        limits,
        counts,
        book,
        deliveries,
        rules: () => this.#rules,
        credentials: () => credentials,
        bytePrice: this.#options.bytePrice ?? (() => 1),
        nowMs,
        ...this.#budgets,
      },
      () => {
        this.#connections.delete(connection);
        counts.connections = this.#connections.size;
        if (this.#connections.size === 0) book.gone(instrument);
      },
    );
    this.#connections.add(connection);
    counts.connections = this.#connections.size;
  }
}

function nowMs(): number {
  return performance.now();
}
