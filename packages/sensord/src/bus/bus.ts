/**
 * Bus: the one thing that sensord's main uses of the bus: broker rules, gates, streams, readers.
 *
 * Invariants: what is granted is applied in an order in which nothing is ever open that should
 * not be: consumers of revoked grants go first, then the broker follows the new rules, then new
 * consumers and gates come; applying the same twice changes nothing; after each reconnect what is
 * granted is applied again, since the broker may have lost its store.
 */
import { type BusInstrument, type BusPlan, planBus } from "@bulkhead/core";
import {
  type ConfigCommand,
  type EventQuery,
  type EventRecord,
  type InstallationLayout,
  type LogLine,
  type Name,
  PLATFORM_NAME,
  type RetentionCommand,
  type Settings,
  type Site,
} from "@bulkhead/schema";
import { SensordError } from "../error.ts";
import { describeError, type Log } from "../log.ts";
import { Broker } from "./broker.ts";
import { readEvents } from "./event-reader.ts";
import type { InstrumentCounts } from "./gate-counts.ts";
import { GateSet } from "./gate-set.ts";
import { type BusLimits, DEFAULT_BUS_LIMITS } from "./limits.ts";
import { readLog } from "./log-reader.ts";
import { type CommandOptions, type InstrumentPorts, PlatformClient } from "./platform-client.ts";
import { Quarantine, type QuarantineCount } from "./quarantine.ts";
import { StreamStore } from "./stream-store.ts";
import { StreamTail } from "./stream-tail.ts";
import { type AppliedBus, welcomeOf } from "./welcome.ts";
import { alignStreams, ensureConsumers, removeRevokedConsumers } from "./streams.ts";

export interface BusOptions {
  readonly layout: Pick<InstallationLayout, "slug" | "brokerDir" | "socketsDir" | "optDir">;
  readonly settings: Pick<Settings, "brokerPort">;
  readonly listeners: BusListeners;
  readonly log: Log;
  readonly limits?: BusLimits;
  /** The nats-server program; by default the installation's own. */
  readonly natsServer?: string;
}

/** What sensord's main hears. Everything was checked against its schema. */
export interface BusListeners {
  /** An instrument is connected and subscribed, and has been told what it is granted. */
  hello(instrument: Name): void;
  health: InstrumentPorts["health"];
}

/** What shall be possible on the bus: resolved instruments that are enabled, and the site's grants. */
export interface BusDesired {
  readonly sensor: Name;
  readonly instruments: readonly BusInstrument[];
  readonly grants: Site["grants"];
  /**
   * Instruments that are installed and not enabled: they have no way to the bus, and what they
   * emitted stays. What of any other instrument is left in the broker is removed.
   */
  readonly retained?: readonly Name[];
}

export interface BusCounts extends InstrumentCounts {
  readonly quarantined: QuarantineCount;
}

export interface BusState {
  readonly broker: "up" | "down";
  /** Gates whose socket is not bound: their directory is not there yet. */
  readonly waiting: readonly Name[];
  /** Why the newest grants are not in force, or null where they are. */
  readonly problem: { readonly code: string; readonly message: string } | null;
  /** Grants that give nothing, each with the reason. */
  readonly ignored: readonly string[];
}

const CONNECT_TIMEOUT_MS = 10_000;
const RETRY_MS = 3000;

export class Bus implements AsyncDisposable {
  readonly #options: BusOptions;
  readonly #limits: BusLimits;
  readonly #broker: Broker;
  readonly #client: PlatformClient;
  readonly #gates: GateSet;
  readonly #quarantine = new Quarantine();
  #desired: BusDesired | null = null;
  #applied: AppliedBus | null = null;
  #problem: BusState["problem"] = null;
  #turn: Promise<void> = Promise.resolve();
  #retry: NodeJS.Timeout | null = null;
  #closed = false;

  private constructor(options: BusOptions, limits: BusLimits, broker: Broker) {
    const { layout, settings, log } = options;
    this.#options = options;
    this.#limits = limits;
    this.#broker = broker;
    this.#gates = new GateSet({
      socketsDir: layout.socketsDir,
      brokerPort: settings.brokerPort,
      limits: limits.gate,
      credentials: (instrument) => broker.credentials(instrument),
      log,
    });
    this.#client = new PlatformClient({
      port: settings.brokerPort,
      credentials: broker.credentials(PLATFORM_NAME),
      ports: this.#instrumentPorts(),
      onConnected: () => this.#again(0),
      log,
    });
  }

  /** Opens the bus without waiting for the broker. @throws as Broker.open. */
  static async open(options: BusOptions): Promise<Bus> {
    const { layout, settings, log, limits = DEFAULT_BUS_LIMITS } = options;
    const natsServer = options.natsServer ?? `${layout.optDir}/bin/nats-server`;
    const port = settings.brokerPort;
    return new Bus(options, limits, await Broker.open({ layout, port, natsServer, limits, log }));
  }

  /**
   * Makes the bus as granted; returns when it is, or when a newer call took this one's place.
   * Idempotent; one at a time, in order.
   * @throws SensordError `bus-broker-unreachable`, `bus-config-rejected`, `bus-rules-not-taken` or
   * `bus-stream-refused`; it is then tried again by itself, and `state` says so meanwhile.
   */
  applyGrants(desired: BusDesired): Promise<void> {
    this.#desired = desired;
    const turn = this.#turn.then(() => this.#apply(desired));
    this.#turn = turn.catch(() => undefined); // its caller sees the failure
    return turn;
  }

  /** As PlatformClient.sendConfig. */
  sendConfig(instrument: Name, command: ConfigCommand, options: CommandOptions) {
    return this.#client.sendConfig(instrument, command, options);
  }

  /** As PlatformClient.sendRetention. */
  sendRetention(instrument: Name, command: RetentionCommand, options: CommandOptions) {
    return this.#client.sendRetention(instrument, command, options);
  }

  /** What the broker keeps. @throws SensordError `bus-broker-unreachable`. */
  async store(): Promise<StreamStore> {
    return new StreamStore(await this.#client.manager(CONNECT_TIMEOUT_MS), await this.#tail());
  }

  /** Forgets refusals of before this moment; returns how many. */
  forgetRefusals(instrument: Name, beforeMs: number): number {
    return this.#gates.counts(instrument).forget(beforeMs);
  }

  /** As PlatformClient.emit. */
  emit(type: string, data: unknown, id?: string): Promise<number> {
    return this.#client.emit(type, data, id);
  }

  /** Stored events that match, oldest first, and with `follow` those that come until `signal`. */
  async *events(query: EventQuery, signal: AbortSignal): AsyncGenerator<EventRecord, void, undefined> {
    const ports = {
      tail: await this.#tail(),
      quarantine: this.#quarantine,
      emitters: () => this.#emitters(),
    };
    yield* readEvents(ports, query, signal);
  }

  /** The last `limit` log lines, oldest first, and with `follow` those that come until `signal`. */
  async *logs(
    instrument: Name,
    query: { readonly limit: number; readonly follow: boolean },
    signal: AbortSignal,
  ): AsyncGenerator<LogLine, void, undefined> {
    const badLine = (from: Name): void => this.#gates.counts(from).refuse("report-schema", "log");
    yield* readLog({ tail: await this.#tail(), badLine }, instrument, query, signal);
  }

  /** What one instrument sent, and what was refused of it. */
  counts(instrument: Name): BusCounts {
    return {
      ...this.#gates.counts(instrument).snapshot(),
      quarantined: this.#quarantine.of(instrument),
    };
  }

  state(): BusState {
    return {
      broker: this.#client.isUp ? "up" : "down",
      waiting: this.#gates.waiting(),
      problem: this.#problem,
      ignored: this.#applied?.plan.ignored ?? [],
    };
  }

  /** Ends gates and connection. The broker and what it keeps stay. */
  async close(): Promise<void> {
    this.#closed = true;
    if (this.#retry !== null) clearTimeout(this.#retry);
    await this.#gates[Symbol.asyncDispose]();
    await this.#client[Symbol.asyncDispose]();
    await this.#turn;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #apply(desired: BusDesired): Promise<void> {
    if (this.#closed || this.#desired !== desired) return; // a newer one waits behind it
    try {
      await this.#applyNow(desired);
      this.#problem = null;
    } catch (error) {
      const known = error instanceof SensordError ? error.code : "bus-failed";
      this.#problem = { code: known, message: error instanceof Error ? error.message : "unknown" };
      this.#again(RETRY_MS);
      throw error;
    }
  }

  async #applyNow({ sensor, instruments, grants, retained = [] }: BusDesired): Promise<void> {
    const plan = planBus(instruments, grants);
    await this.#gates.closeOthers(plan.instruments.map(({ name }) => name));
    const revoked = this.#client.isUp && (await this.#revokeEarly(plan));
    await this.#broker.write(plan.users);
    await this.#client.connection(CONNECT_TIMEOUT_MS);
    await this.#broker.follow(() => this.#client.current);
    const manager = await this.#client.manager(CONNECT_TIMEOUT_MS);
    if (!revoked) await removeRevokedConsumers(manager, plan);
    const { storeBytes } = this.#broker;
    await alignStreams(manager, plan, retained, { ...this.#limits, storeBytes });
    await ensureConsumers(manager, plan, this.#limits.streams);
    const former = this.#applied;
    this.#applied = { sensor, plan, retained };
    if (!this.#closed) this.#gates.open(plan.users.filter(({ name }) => name !== PLATFORM_NAME));
    for (const name of this.#gates.names()) {
      const told = former === null ? null : welcomeOf(former, name);
      const changed = JSON.stringify(told) !== JSON.stringify(welcomeOf(this.#applied, name));
      // It greets again, and is told what it may do now.
      if (told !== null && changed) this.#client.tell(name, "reload");
    }
  }

  /** Whether what is revoked has lost its consumers; where not, the rules must not wait for it. */
  async #revokeEarly(plan: BusPlan): Promise<boolean> {
    try {
      await removeRevokedConsumers(await this.#client.manager(CONNECT_TIMEOUT_MS), plan);
      return true;
    } catch (error) {
      this.#options.log.warn("consumers not removed yet", describeError(error));
      return false;
    }
  }

  /** Applies what is desired again, some time later. */
  #again(afterMs: number): void {
    if (this.#closed) return;
    if (this.#retry !== null) clearTimeout(this.#retry);
    this.#retry = setTimeout(() => {
      if (this.#desired === null) return;
      this.applyGrants(this.#desired).catch((error: unknown) => {
        this.#options.log.warn("bus not as granted", describeError(error));
      });
    }, afterMs).unref();
  }

  #instrumentPorts(): InstrumentPorts {
    return {
      hello: (from) => {
        const welcome = this.#applied === null ? null : welcomeOf(this.#applied, from);
        if (welcome !== null) queueMicrotask(() => this.#options.listeners.hello(from));
        return welcome;
      },
      health: (from, report) => this.#options.listeners.health(from, report),
      quarantine: (by, { from, type, sequence, reason }) => {
        const granted = this.#applied?.plan.consumers.some(
          (c) => c.to === by && c.from === from && c.type === type,
        );
        if (granted === true) this.#quarantine.note(from, sequence, reason, by);
        else this.#gates.counts(by).refuse("report-schema", `quarantine of ${from}: not its consumer`);
      },
      badReport: (from, service, reason) => {
        this.#gates.counts(from).refuse("report-schema", `${service} ${reason}`);
      },
    };
  }

  async #tail(): Promise<StreamTail> {
    return new StreamTail(await this.#client.manager(CONNECT_TIMEOUT_MS), this.#options.log);
  }

  #emitters(): readonly Name[] {
    const { plan, retained } = this.#applied ?? { plan: { instruments: [] }, retained: [] };
    const emitters = plan.instruments.flatMap(({ name, emits }) => (emits.length > 0 ? [name] : []));
    return [PLATFORM_NAME, ...emitters, ...retained];
  }
}
