/**
 * Broker: the configuration that the broker shall run with: passwords, store, rules.
 *
 * Invariants: a configuration that is there stays in force until the site is known, so that a
 * restart of sensord takes nothing away; what was kept decides the passwords. It starts nothing.
 */
import { type BusUser, planBus } from "@bulkhead/core";
import { type InstallationLayout, type Name, PLATFORM_NAME } from "@bulkhead/schema";
import type { NatsConnection } from "@nats-io/transport-node";
import type { Log } from "../log.ts";
import { type BrokerPaths, brokerPaths, renderBrokerConfig } from "./broker-config.ts";
import { BrokerControl } from "./broker-control.ts";
import { type BrokerState, keepBrokerState, readBrokerState } from "./broker-state.ts";
import type { Credentials } from "./handshake.ts";
import type { BusLimits } from "./limits.ts";

export interface BrokerOptions {
  readonly layout: Pick<InstallationLayout, "slug" | "brokerDir">;
  readonly port: number;
  readonly natsServer: string;
  readonly limits: BusLimits;
  readonly log: Log;
}

const RULES_TIMEOUT_MS = 30_000;

export class Broker {
  readonly #options: BrokerOptions;
  readonly #paths: BrokerPaths;
  readonly #control: BrokerControl;
  #state: BrokerState;
  #marker = "";

  private constructor(options: BrokerOptions, control: BrokerControl, state: BrokerState) {
    this.#options = options;
    this.#paths = brokerPaths(options.layout);
    this.#control = control;
    this.#state = state;
  }

  /**
   * Where there is no configuration yet, writes one that lets the platform in, which is what the
   * broker's service waits for.
   * @throws SensordError `bus-config-rejected`.
   */
  static async open(options: BrokerOptions): Promise<Broker> {
    const paths = brokerPaths(options.layout);
    const control = new BrokerControl(paths, options.natsServer, options.log);
    await control.prepare();
    const former = await readBrokerState(paths);
    const users = Object.keys(former?.passwords ?? { [PLATFORM_NAME]: "" });
    const wanted = options.limits.broker.storeBytes;
    const broker = new Broker(options, control, await keepBrokerState(paths, former, users, wanted));
    if (former === null || !(await control.isWritten())) {
      await broker.write(planBus([], { events: [], messages: [], resources: [] }).users);
    }
    return broker;
  }

  get storeBytes(): number {
    return this.#state.storeBytes;
  }

  /** @throws TypeError for one that is no user. */
  credentials(user: Name): Credentials {
    const password = this.#state.passwords[user];
    if (password === undefined) throw new TypeError(`${user} is no user of the broker`);
    return { user, password };
  }

  /** Writes the configuration for these users and has a broker that runs read it; true where it is another. @throws as `open`. */
  async write(users: readonly BusUser[]): Promise<boolean> {
    const { layout, port, limits } = this.#options;
    const names = users.map(({ name }) => name);
    const { storeBytes } = limits.broker;
    this.#state = await keepBrokerState(this.#paths, this.#state, names, storeBytes);
    const config = renderBrokerConfig({
      slug: layout.slug,
      port,
      paths: this.#paths,
      users,
      limits,
      ...this.#state,
    });
    const isAnother = await this.#control.write(config.text);
    this.#marker = config.marker;
    return isAnother;
  }

  /** Returns when the broker follows what was written last. @throws SensordError `bus-rules-not-taken`; at once at `signal`. */
  follow(connection: () => NatsConnection | null, signal: AbortSignal): Promise<void> {
    return this.#control.follow(connection, this.#marker, { timeoutMs: RULES_TIMEOUT_MS, signal });
  }
}
