/**
 * Test context: the context that an instrument's code works with, without broker, container or environment.
 *
 * Invariants: the checks are the SDK's own, not copies of them: configuration, messages, resources, retention and the
 * publisher are the real ones on ports in memory. Time passes as in the test's process.
 */
import { createHash } from "node:crypto";
import { join } from "node:path";
import { type DeliveryReceipt, type LogLine, Name, type Peer, type Welcome } from "@bulkhead/schema";
import type { ConsumeOptions } from "../consumer.ts";
import type { Environment } from "../environment.ts";
import { errorText, SdkError } from "../error.ts";
import { Health } from "../health.ts";
import type { InstrumentContext } from "../instrument.ts";
import type { Log } from "../log.ts";
import { type AcceptOptions, MessageDesk, readReply } from "../message-desk.ts";
import type { SendOptions } from "../messages.ts";
import { Publisher } from "../publisher.ts";
import { ResourceReceiver, type ReceiveOptions } from "../resource-receiver.ts";
import type { DeliverOptions } from "../resource-sender.ts";
import { Retention, type RetentionStore } from "../retention.ts";
import { Slices, type SlicesOptions } from "../slices.ts";
import type { UiHandler } from "../ui.ts";
import { MemoryPort } from "./memory-port.ts";
import { TestConsumers } from "./test-consumers.ts";

export interface SentMessage {
  readonly to: Name;
  readonly verb: string;
  readonly data: unknown;
}

export interface DeliveredResource extends Omit<DeliverOptions, "body"> {
  readonly bytes: Buffer;
}

export interface TestSurroundings {
  /** Name of the instrument; `test` where left out. */
  readonly instrument?: Name;
  /** Types that it may emit; any where left out. */
  readonly emits?: readonly string[];
  readonly inboxDir?: string;
  readonly dataDir?: string;
  readonly resourcesDir?: string;
  /** Whom `find` knows. */
  readonly peers?: readonly Peer[];
  /** Plays those whom it sends messages; what it throws is their failure. Left out: nothing is granted. */
  readonly answer?: (message: SentMessage) => unknown;
}

const ABSENT_DIR = "/nonexistent";
const FLUSH_TIMEOUT_MS = 5_000;

export class TestContext implements InstrumentContext {
  readonly environment: Environment;
  readonly welcome: Welcome;
  readonly log: Log;
  readonly health: Health;
  readonly publisher: Publisher;
  readonly logs: LogLine[] = [];
  readonly delivered: DeliveredResource[] = [];
  readonly sent: SentMessage[] = [];
  readonly port = new MemoryPort();
  readonly consumers: TestConsumers;
  readonly messages: MessageDesk;
  readonly resources: ResourceReceiver;
  readonly retention: Retention;
  ui: UiHandler | null = null;
  configVersion: () => string | null = () => null;
  readonly #surroundings: TestSurroundings;
  readonly #abort = new AbortController();

  constructor(surroundings: TestSurroundings) {
    const { instrument = "test", emits } = surroundings;
    const { inboxDir = ABSENT_DIR, dataDir = ABSENT_DIR, resourcesDir = ABSENT_DIR } = surroundings;
    this.#surroundings = surroundings;
    const sockets = { busSocket: join(ABSENT_DIR, "bus.sock"), uiSocket: join(ABSENT_DIR, "ui.sock") };
    this.environment = { instrument: Name.parse(instrument), ...sockets, inboxDir, dataDir, resourcesDir };
    const nothing = { consumers: [], sends: [], accepts: [], publishes: [], receives: [] };
    this.welcome = { instrument, sensor: "test-sensor", emits: [...(emits ?? [])], ...nothing };
    this.log = logInto(this.logs);
    const onProblem = (text: string): void => this.log.warn(text);
    const onRefused = (type: string, reason: string): void =>
      onProblem(`events of type ${type} are refused: ${reason}`);
    this.publisher = new Publisher(this.port, { instrument, lingerMs: 0, onRefused });
    if (emits !== undefined) this.publisher.allow(this.welcome);
    this.health = new Health({
      events: () => this.publisher.counts(),
      configVersion: () => this.configVersion(),
      send: () => true,
    });
    this.consumers = new TestConsumers(onProblem);
    this.messages = new MessageDesk(onProblem);
    this.resources = new ResourceReceiver(resourcesDir, onProblem);
    this.retention = new Retention({
      report: (oldestRecord) => this.health.set({ oldestRecord }),
      onProblem,
    });
  }

  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  async emit(type: string, data: unknown, time: Date = new Date()): Promise<void> {
    await this.publisher.emit(type, data, time);
  }

  consume<Data>(options: Omit<ConsumeOptions<Data>, "onProblem">): void {
    this.consumers.add(options);
  }

  accept<Request = Record<string, never>, Reply = void>(options: AcceptOptions<Request, Reply>): void {
    this.messages.accept(options);
  }

  async send<Reply = void>({ to, verb, data = {}, reply }: SendOptions<Reply>): Promise<Reply> {
    const what = `${verb} to ${to}`;
    const { answer } = this.#surroundings;
    if (answer === undefined) throw new SdkError("sdk-message-not-granted", `${what} is not granted`);
    // As it comes out at the other end.
    const message = { to, verb, data: asJson(data) };
    this.sent.push(message);
    let made: unknown;
    try {
      made = await answer(message);
    } catch (cause) {
      if (cause instanceof SdkError) throw cause;
      throw new SdkError("sdk-message-failed", `${what}: ${errorText(cause)}`, { cause });
    }
    const read = readReply(reply, asJson(made ?? {}));
    if (!read.ok) throw new SdkError("sdk-message-answer-invalid", `${what}: the reply ${read.issue}`);
    return read.reply;
  }

  async deliver({ body, ...options }: DeliverOptions): Promise<DeliveryReceipt> {
    const chunks: Uint8Array[] = [];
    for await (const chunk of body) chunks.push(chunk);
    const bytes = Buffer.concat(chunks);
    const { type, name, sizeBytes } = options;
    const what = `${type} ${name}`;
    const sha256 = createHash("sha256").update(bytes).digest("hex");
    if (bytes.length > sizeBytes)
      throw new SdkError("sdk-delivery-oversized", `${what}: more than announced`);
    if (bytes.length < sizeBytes)
      throw new SdkError("sdk-delivery-incomplete", `${what}: less than announced`);
    if (options.sha256 !== undefined && options.sha256 !== sha256)
      throw new SdkError("sdk-delivery-hash-differs", `${what}: its SHA-256 is ${sha256}`);
    this.delivered.push({ ...options, bytes });
    const version = `${this.delivered.length}-${sha256.slice(0, 12)}`;
    return { version, sha256, sizeBytes, receivers: [] };
  }

  receive(options: ReceiveOptions): void {
    this.resources.receive(options);
  }

  async find(type: string): Promise<readonly Peer[]> {
    return (this.#surroundings.peers ?? []).filter((peer) => peer.package === type);
  }

  serveUi(handler: UiHandler): void {
    this.ui = handler;
  }

  slices(need: string, options: SlicesOptions): Promise<Slices> {
    return Slices.open(join(this.environment.dataDir, Name.parse(need)), options);
  }

  retain(store: RetentionStore): void {
    this.retention.add(store);
  }

  /** In the order of the real one: what feeds the instrument, the instrument, what it emitted. */
  async close(stopInstrument: (() => Promise<void> | void) | undefined): Promise<void> {
    this.#abort.abort();
    await this.retention.close();
    try {
      await stopInstrument?.();
    } finally {
      await this.publisher.close(FLUSH_TIMEOUT_MS);
      this.health.close();
    }
  }
}

function logInto(lines: LogLine[]): Log {
  const write =
    (level: LogLine["level"]) =>
    (message: string): void =>
      void lines.push({ time: new Date().toISOString(), level, message });
  return { debug: write("debug"), info: write("info"), warn: write("warn"), error: write("error") };
}

function asJson(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value));
}
