/**
 * Bus: the one thing that sensord's main uses of the bus: broker rules, gates, streams, readers.
 *
 * It decides nothing: grant-keeper.ts keeps what is granted in force, the gates judge what instruments
 * send, and what instruments report is heard here, against the grants that are in force.
 */
import {
  type BusReport,
  type ConfigCommand,
  type EventQuery,
  type EventRecord,
  type InstallationLayout,
  type LogLine,
  type MessageQuery,
  type MessageRecord,
  type Name,
  PLATFORM_NAME,
  type ResourceNotice,
  type RetentionCommand,
  type Settings,
} from "@bulkhead/schema";
import type { Log } from "../log.ts";
import { reportBus } from "./bus-report.ts";
import { Broker } from "./broker.ts";
import { BytePrice } from "./byte-price.ts";
import { readEvents } from "./event-reader.ts";
import type { InstrumentCounts, RefusalReason } from "./gate-counts.ts";
import { GateSet } from "./gate-set.ts";
import { type BusDesired, CONNECT_TIMEOUT_MS, GrantKeeper, type GrantProblem } from "./grant-keeper.ts";
import type { InstrumentPorts } from "./instrument-reports.ts";
import type { InstrumentServices } from "./instrument-services.ts";
import { type BusLimits, DEFAULT_BUS_LIMITS } from "./limits.ts";
import { readLog } from "./log-reader.ts";
import { MessageBook } from "./message-book.ts";
import { MessageJournal } from "./message-journal.ts";
import { type CommandOptions, PlatformClient } from "./platform-client.ts";
import { Quarantine, type QuarantineCount } from "./quarantine.ts";
import { StreamStore } from "./stream-store.ts";
import { StreamTail } from "./stream-tail.ts";
import { welcomeOf } from "./welcome.ts";

export interface BusOptions {
  readonly layout: Pick<InstallationLayout, "slug" | "brokerDir" | "socketsDir" | "optDir">;
  readonly settings: Pick<Settings, "brokerPort">;
  readonly listeners: BusListeners;
  readonly services: InstrumentServices;
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
  /** Something that an instrument sent or asked for was refused. */
  refused(instrument: Name, reason: RefusalReason): void;
  /** A message between instruments was answered, or ended without. */
  message?(record: MessageRecord): void;
}

export type { BusDesired } from "./grant-keeper.ts";

export interface BusCounts extends InstrumentCounts {
  readonly quarantined: QuarantineCount;
}

export interface BusState {
  readonly broker: "up" | "down";
  /** Gates whose socket is not bound: their directory is not there yet. */
  readonly waiting: readonly Name[];
  /** Why the newest grants are not in force, or null where they are. */
  readonly problem: GrantProblem | null;
  /** Grants that give nothing, each with the reason. */
  readonly ignored: readonly string[];
}

export class Bus implements AsyncDisposable {
  readonly #options: BusOptions;
  readonly #client: PlatformClient;
  readonly #gates: GateSet;
  readonly #grants: GrantKeeper;
  readonly #quarantine = new Quarantine();
  readonly #bytePrice: BytePrice;
  readonly #journal = new MessageJournal();
  readonly #messages: MessageBook;

  private constructor(options: BusOptions, limits: BusLimits, broker: Broker) {
    const { layout, settings, log } = options;
    this.#options = options;
    this.#messages = new MessageBook({
      tell: (...args) => this.#client.refuse(...args),
      onRecord: (record) => {
        this.#journal.add(record);
        options.listeners.message?.(record);
      },
      nowMs: () => performance.now(),
    });
    this.#bytePrice = new BytePrice(log);
    this.#gates = new GateSet({
      socketsDir: layout.socketsDir,
      brokerPort: settings.brokerPort,
      limits: limits.gate,
      bytePrice: () => this.#bytePrice.current,
      credentials: (instrument) => broker.credentials(instrument),
      onRefused: (instrument, reason) => options.listeners.refused(instrument, reason),
      book: this.#messages,
      deliveries: options.services.deliveries,
      log,
    });
    this.#client = new PlatformClient({
      port: settings.brokerPort,
      credentials: broker.credentials(PLATFORM_NAME),
      ports: this.#instrumentPorts(),
      services: options.services,
      onConnected: () => this.#grants.again(0),
      log,
    });
    this.#grants = new GrantKeeper({
      broker,
      client: this.#client,
      gates: this.#gates,
      messages: this.#messages,
      limits,
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

  /** As GrantKeeper.apply. */
  applyGrants(desired: BusDesired): Promise<void> {
    return this.#grants.apply(desired);
  }

  /** As PlatformClient.sendConfig. */
  sendConfig(instrument: Name, command: ConfigCommand, options: CommandOptions) {
    return this.#client.sendConfig(instrument, command, options);
  }

  /** As PlatformClient.sendRetention. */
  sendRetention(instrument: Name, command: RetentionCommand, options: CommandOptions) {
    return this.#client.sendRetention(instrument, command, options);
  }

  /** As PlatformClient.sendResource. */
  sendResource(instrument: Name, notice: ResourceNotice, options: CommandOptions) {
    return this.#client.sendResource(instrument, notice, options);
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

  /** As MessageJournal.read. */
  messages(query: MessageQuery, signal: AbortSignal): AsyncGenerator<MessageRecord, void, undefined> {
    return this.#journal.read(query, signal);
  }

  /** Who may say what to whom, and what became of it; it waits for no broker. */
  async report(): Promise<BusReport> {
    const { broker, problem } = this.state();
    return reportBus({
      plan: this.#grants.applied?.plan ?? null,
      state: { broker, problem: problem?.message ?? null },
      counts: (instrument) => this.#gates.counts(instrument).snapshot(),
      journal: this.#journal,
      book: this.#messages,
      manager: broker === "up" ? await this.#client.manager(CONNECT_TIMEOUT_MS) : null,
    });
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
      problem: this.#grants.problem,
      ignored: this.#grants.applied?.plan.ignored ?? [],
    };
  }

  /** Ends gates and connection. The broker and what it keeps stay. */
  async close(): Promise<void> {
    const settled = this.#grants.close();
    this.#messages[Symbol.dispose]();
    this.#bytePrice[Symbol.dispose]();
    await this.#gates[Symbol.asyncDispose]();
    await this.#client[Symbol.asyncDispose]();
    await settled;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #instrumentPorts(): InstrumentPorts {
    return {
      hello: (from) => {
        const { applied } = this.#grants;
        const welcome = applied === null ? null : welcomeOf(applied, from);
        if (welcome !== null) queueMicrotask(() => this.#options.listeners.hello(from));
        return welcome;
      },
      health: (from, report) => this.#options.listeners.health(from, report),
      quarantine: (by, { from, type, sequence, reason }) => {
        const granted = this.#grants.applied?.plan.consumers.some(
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
    const { plan, retained } = this.#grants.applied ?? { plan: { instruments: [] }, retained: [] };
    const emitters = plan.instruments.flatMap(({ name, emits }) => (emits.length > 0 ? [name] : []));
    return [PLATFORM_NAME, ...emitters, ...retained];
  }
}
