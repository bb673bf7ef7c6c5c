/**
 * Instrument: the frame of an agent. It connects, greets, hands over configurations, reports, and
 * ends in an orderly way; what is particular to an instrument is its definition.
 *
 * Invariants: `start` runs once, after the platform's welcome and before the first configuration;
 * at the end (SIGTERM, SIGINT or `cmd.<i>.stop`) the definition stops first, then what it emitted
 * is flushed, then the process exits. After the connection nothing goes to stdout or stderr.
 */
import { join } from "node:path";
import { type DeliveryReceipt, Name, type Peer, type Welcome } from "@bulkhead/schema";
import type * as z from "zod";
import { connectBus, type Bus } from "./bus.ts";
import { ConfigDesk, type ApplyConfig } from "./config.ts";
import { consumeEvents, type ConsumeOptions, type EventConsumer } from "./consumer.ts";
import { parseEnvironment, type Environment } from "./environment.ts";
import { errorText, SdkError } from "./error.ts";
import { findPeers } from "./find.ts";
import { Health } from "./health.ts";
import { BusLog, type Log } from "./log.ts";
import type { AcceptOptions } from "./message-desk.ts";
import { Messages, type SendOptions } from "./messages.ts";
import { busPublishPort } from "./publish-port.ts";
import { Publisher } from "./publisher.ts";
import { ResourceReceiver, type ReceiveOptions } from "./resource-receiver.ts";
import { deliverResource, type DeliverOptions } from "./resource-sender.ts";
import { Retention, type RetentionStore } from "./retention.ts";
import { Slices, type SlicesOptions } from "./slices.ts";
import { serveUi, type UiHandler } from "./ui.ts";

/** What an instrument's code works with. */
export interface InstrumentContext {
  readonly environment: Environment;
  /** As of the start; grants may change later, which consumers and publisher follow by themselves. */
  readonly welcome: Welcome;
  readonly log: Log;
  readonly health: Health;
  readonly publisher: Publisher;
  /** Aborted when the instrument stops. */
  readonly signal: AbortSignal;
  /** Emits a record of our own making as JSON; resolves when there is room for more. */
  emit(type: string, data: unknown, time?: Date): Promise<void>;
  /** Takes events of a granted type; follows the grants. */
  consume<Data>(options: Omit<ConsumeOptions<Data>, "onProblem">): void;
  /** Takes messages of this verb from whom the site lets send them. */
  accept<Request = Record<string, never>, Reply = void>(options: AcceptOptions<Request, Reply>): void;
  /** Sends one instrument a message; returns its reply. @throws SdkError `sdk-message-…`. */
  send<Reply = void>(options: SendOptions<Reply>): Promise<Reply>;
  /** Publishes a version of a resource; resolves when its receivers have it. @throws SdkError `sdk-delivery-…`. */
  deliver(options: DeliverOptions): Promise<DeliveryReceipt>;
  /** Takes resources of this type: each new version, and after the start what there is. */
  receive(options: ReceiveOptions): void;
  /** Instruments of this package with whom a grant is shared. @throws SdkError `sdk-find-refused`, `sdk-find-failed`. */
  find(type: string): Promise<readonly Peer[]>;
  /** Serves HTTP where the site grants a UI. */
  serveUi(handler: UiHandler): void;
  /** Of a volume whose need says that it is written by slice: where records of some time go. */
  slices(need: string, options: SlicesOptions): Promise<Slices>;
  /** Has a store forget when the platform says so, and its oldest record reported. */
  retain(store: RetentionStore): void;
}

/** What runs after `start`. */
export interface RunningInstrument<Config> {
  readonly apply?: ApplyConfig<Config>;
  readonly stop?: () => Promise<void> | void;
}

export interface InstrumentDefinition<Config> {
  readonly config: z.ZodType<Config>;
  readonly start: (
    context: InstrumentContext,
  ) => Promise<RunningInstrument<Config>> | RunningInstrument<Config>;
}

export interface InstrumentHandle {
  /** Ends it in an orderly way; resolves when everything was flushed, or could not be. */
  stop(): Promise<void>;
  /** Says over the bus what nobody caught, and lets go of the bus; the process is to end then. */
  fail(error: unknown): Promise<void>;
  /** Resolves when it ended by itself or by the platform's command. */
  readonly ended: Promise<void>;
}

const FLUSH_TIMEOUT_MS = 5_000;
const LAST_WORDS_MS = 2_000;
const MAX_LAST_WORDS = 4_000;

/** Runs a definition as this process. */
export function runInstrument<Config>(definition: InstrumentDefinition<Config>): void {
  startInstrument(definition, () => parseEnvironment(process.env)).then(
    (handle) => {
      const stop = (): void => void handle.stop();
      process.once("SIGTERM", stop);
      process.once("SIGINT", stop);
      // An unhandled rejection comes here too.
      process.once("uncaughtException", (error) => void endByError(handle, error));
      void handle.ended.then(() => process.exit(0));
    },
    (error: unknown) => {
      // Nobody else can hear it: there was no connection, or it did not survive the start.
      console.error(error instanceof SdkError ? `${error.code}: ${error.message}` : error);
      process.exit(1);
    },
  );
}

/** A second error, or a bus that hangs, does not keep the process alive. */
async function endByError(handle: InstrumentHandle, error: unknown): Promise<void> {
  setTimeout(() => process.exit(1), LAST_WORDS_MS);
  try {
    await handle.fail(error);
  } finally {
    process.exit(1);
  }
}

/** Starts a definition; resolves when `start` has returned. @throws what `start` throws. */
export async function startInstrument<Config>(
  definition: InstrumentDefinition<Config>,
  readEnvironment: () => Environment,
): Promise<InstrumentHandle> {
  const environment = readEnvironment();
  const bus = await connectBus({ instrument: environment.instrument, socketPath: environment.busSocket });
  const frame = new Frame(environment, bus);
  const started = Promise.withResolvers<RunningInstrument<Config>>();
  started.promise.catch(() => undefined); // startInstrument itself rejects
  const desk = new ConfigDesk(
    definition.config,
    async (config, command) => {
      return (await started.promise).apply?.(config, command);
    },
    (answer) => {
      frame.log.info(`configuration ${answer.version}: ${answer.outcome}`);
      frame.health.flush();
    },
  );
  frame.configVersion = () => desk.version;
  const ended = Promise.withResolvers<void>();
  let stopping: Promise<void> | null = null;
  const stop = (): Promise<void> => {
    stopping ??= started.promise
      .then(
        (running) => frame.close(running.stop),
        () => frame.close(undefined),
      )
      .then(ended.resolve, ended.reject);
    return stopping;
  };
  bus.handle("config", (payload) => desk.take(payload));
  bus.handle("health", async () => frame.health.report());
  bus.handle("retention", (payload) => frame.retention.take(payload));
  bus.handle("resource", (payload) => frame.resources.take(payload));
  bus.handle("stop", async () => void setImmediate(() => void stop())); // the answer goes out first
  bus.open();
  try {
    const welcome = await bus.welcomed();
    started.resolve(await definition.start(frame.context(welcome)));
    frame.messages.ready();
    frame.resources.ready();
  } catch (error) {
    frame.log.error(`the start failed: ${errorText(error)}`);
    started.reject(error);
    await frame.close(undefined);
    throw error;
  }
  const fail = async (error: unknown): Promise<void> => {
    frame.log.close();
    // Not through the log's queue: what waits there may be more than is sent at once.
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
    const message = `it ends by an error: ${text}`.slice(0, MAX_LAST_WORDS);
    if (bus.welcome !== null) bus.report("log", { time: new Date().toISOString(), level: "error", message });
    await bus.close();
  };
  return { stop, fail, ended: ended.promise };
}

/** Everything that an instrument has beside its own code. */
class Frame {
  readonly log: BusLog;
  readonly messages: Messages;
  readonly health: Health;
  readonly retention: Retention;
  readonly resources: ResourceReceiver;
  configVersion: () => string | null = () => null;
  readonly #environment: Environment;
  readonly #bus: Bus;
  readonly #publisher: Publisher;
  readonly #consumers: EventConsumer[] = [];
  readonly #owned = new AsyncDisposableStack();
  readonly #abort = new AbortController();
  readonly #refusedTypes = new Set<string>();

  constructor(environment: Environment, bus: Bus) {
    this.#environment = environment;
    this.#bus = bus;
    this.log = new BusLog((line) => bus.welcome !== null && bus.report("log", line));
    this.#publisher = new Publisher(busPublishPort(bus), {
      instrument: environment.instrument,
      onRefused: (type, reason) => this.#refused(type, reason),
    });
    this.health = new Health({
      events: () => this.#publisher.counts(),
      configVersion: () => this.configVersion(),
      send: (report) => bus.welcome !== null && bus.report("health", report),
    });
    this.retention = new Retention({
      report: (oldestRecord) => this.health.set({ oldestRecord }),
      onProblem: (text) => this.log.warn(text),
    });
    this.messages = new Messages(bus, (text) => this.log.warn(text));
    this.resources = new ResourceReceiver(environment.resourcesDir, (text) => this.log.warn(text));
    bus.listen({
      welcome: (welcome) => this.#welcomed(welcome),
      denied: (operation, subject) => {
        // A log line about a report that was too much would be another one.
        if (subject.startsWith("svc.")) return;
        if (operation === "publish") this.#publisher.deny(subject);
        this.log.warn(`the broker denied ${operation} of ${subject}`);
      },
      problem: (text) => this.log.warn(text),
    });
  }

  context(welcome: Welcome): InstrumentContext {
    return {
      environment: this.#environment,
      welcome,
      log: this.log,
      health: this.health,
      publisher: this.#publisher,
      signal: this.#abort.signal,
      emit: (type, data, time = new Date()) => this.#publisher.emit(type, data, time),
      consume: (options) => {
        const consumer = consumeEvents(this.#bus, { ...options, onProblem: (text) => this.log.warn(text) });
        this.#consumers.push(consumer);
        void this.#follow(consumer, this.#bus.welcome ?? welcome);
      },
      accept: (options) => this.messages.accept(options),
      send: (options) => this.messages.send(options),
      deliver: (options) => deliverResource(this.#bus, options),
      receive: (options) => this.resources.receive(options),
      find: (type) => findPeers(this.#bus, type),
      serveUi: (handler) => {
        const socketPath = this.#environment.uiSocket;
        this.#owned.use(serveUi({ socketPath, handler, onProblem: (text) => this.log.warn(text) }));
      },
      slices: (need, options) => Slices.open(join(this.#environment.dataDir, Name.parse(need)), options),
      retain: (store) => this.retention.add(store),
    };
  }

  async close(stopInstrument: (() => Promise<void> | void) | undefined): Promise<void> {
    this.#abort.abort();
    // What feeds the instrument ends before the instrument's own things do.
    for (const consumer of this.#consumers) await consumer.close();
    await this.retention.close();
    await this.#owned.disposeAsync();
    try {
      await stopInstrument?.();
    } catch (error) {
      this.log.error(`the stop failed: ${errorText(error)}`);
    }
    await this.#publisher.close(FLUSH_TIMEOUT_MS);
    this.health.close();
    this.log.close();
    await this.#bus.close();
  }

  #welcomed(welcome: Welcome): void {
    this.#publisher.allow(welcome);
    this.#refusedTypes.clear();
    for (const consumer of this.#consumers) void this.#follow(consumer, welcome);
    this.health.flush();
  }

  async #follow(consumer: EventConsumer, welcome: Welcome): Promise<void> {
    try {
      await consumer.follow(welcome.consumers);
    } catch (error) {
      this.log.error(`events cannot be consumed: ${errorText(error)}`);
    }
  }

  /** Said once a type and welcome: the count is in the health reports. */
  #refused(type: string, reason: string): void {
    if (this.#refusedTypes.has(type)) return;
    this.#refusedTypes.add(type);
    this.log.warn(`events of type ${type} are refused: ${reason}`);
  }
}
