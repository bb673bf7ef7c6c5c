/**
 * Bus: an instrument's connection to the platform, over the Unix socket that it was granted.
 *
 * Invariants: it reconnects for ever; every connection begins with its subscriptions and then
 * `svc.<i>.hello`, whose reply (Welcome) says what was granted. A command is taken only from the
 * subject `cmd.<i>.<verb>` itself. While there is no connection nothing is buffered: `report` says
 * so, and what must not be lost goes through the publisher.
 */
import { setTimeout as delay } from "node:timers/promises";
import { subjects, Welcome, type CommandVerb, type Name, type ServiceName } from "@bulkhead/schema";
import type { Msg, NatsConnection, Status } from "@nats-io/transport-node";
import { errorText, SdkError } from "./error.ts";
import { jitteredDelayMs } from "./jitter.ts";
import { connectUnix } from "./unix-transport.ts";

export const SDK_VERSION = "0.1.0";
const HELLO_TIMEOUT_MS = 5_000;

/** What a command says and what is answered: JSON both ways. */
export type CommandHandler = (payload: unknown) => Promise<unknown>;

export interface BusListener {
  /** Connected and welcomed: at first, after each reconnect, and when the platform says `reload`. */
  readonly welcome?: (welcome: Welcome) => void;
  readonly disconnect?: () => void;
  /** The broker refused a publish or subscription. */
  readonly denied?: (operation: "publish" | "subscription", subject: string) => void;
  readonly problem?: (text: string) => void;
}

export interface Bus {
  readonly instrument: Name;
  readonly connection: NatsConnection;
  readonly connected: boolean;
  readonly welcome: Welcome | null;
  /** Tells the platform; false where there is no connection, and then nothing was kept. */
  report(service: ServiceName, payload: unknown): boolean;
  handle(verb: CommandVerb, handler: CommandHandler): void;
  listen(listener: BusListener): void;
  /** Resolves with the first Welcome. @throws SdkError `sdk-bus-closed` */
  welcomed(): Promise<Welcome>;
  close(): Promise<void>;
}

/** Connects, waiting as long as it takes. The greeting begins with `open()`, after handlers are set. */
export async function connectBus(options: {
  readonly instrument: Name;
  readonly socketPath: string;
}): Promise<Bus & { open(): void }> {
  const connection = await connectUnix(options.socketPath, {
    name: options.instrument,
    inboxPrefix: subjects.inbox(options.instrument),
    maxReconnectAttempts: -1,
    waitOnFirstConnect: true,
    ignoreClusterUpdates: true,
    ignoreAuthErrorAbort: true,
    noRandomize: true,
    timeout: 5_000,
    pingInterval: 10_000,
    maxPingOut: 2,
    reconnectDelayHandler: () => jitteredDelayMs(0, 500, 500),
  });
  return new InstrumentBus(options.instrument, connection);
}

class InstrumentBus implements Bus {
  readonly instrument: Name;
  readonly connection: NatsConnection;
  connected = true;
  welcome: Welcome | null = null;
  readonly #handlers = new Map<string, CommandHandler>();
  readonly #listeners: BusListener[] = [];
  readonly #first = Promise.withResolvers<Welcome>();
  /** Counts greetings, so that one that is overtaken by a reconnect gives up. */
  #greeting = 0;

  constructor(instrument: Name, connection: NatsConnection) {
    this.instrument = instrument;
    this.connection = connection;
    this.#first.promise.catch(() => undefined); // who waits for it sees the rejection
  }

  open(): void {
    const prefix = `cmd.${this.instrument}.`;
    this.connection.subscribe(`${prefix}*`, {
      callback: (error, message) => {
        if (error !== null) this.#tell((l) => l.problem?.(error.message));
        else if (message.subject.startsWith(prefix)) {
          void this.#command(message.subject.slice(prefix.length), message);
        }
      },
    });
    void this.#watch();
    void this.#greet();
  }

  handle(verb: CommandVerb, handler: CommandHandler): void {
    this.#handlers.set(verb, handler);
  }

  listen(listener: BusListener): void {
    this.#listeners.push(listener);
  }

  welcomed(): Promise<Welcome> {
    return this.#first.promise;
  }

  report(service: ServiceName, payload: unknown): boolean {
    if (!this.connected || this.connection.isClosed()) return false;
    this.connection.publish(subjects.service(this.instrument, service), JSON.stringify(payload));
    return true;
  }

  async close(): Promise<void> {
    this.#greeting += 1;
    this.#first.reject(new SdkError("sdk-bus-closed", "the bus connection was closed"));
    if (this.connection.isClosed()) return;
    if (!this.connected) return this.connection.close();
    // A peer that does not answer must not keep a stopping instrument.
    await Promise.race([this.connection.drain(), delay(2_000, undefined, { ref: false })]);
    await this.connection.close();
  }

  async #command(verb: string, message: Msg): Promise<void> {
    const handler = this.#handlers.get(verb);
    try {
      if (verb === "reload") await this.#greet();
      const answer = handler === undefined ? {} : await handler(parseJson(message.data));
      if (!this.connection.isClosed()) message.respond(JSON.stringify(answer ?? {}));
    } catch (error) {
      this.#tell((l) => l.problem?.(`command ${verb} failed: ${errorText(error)}`));
    }
  }

  async #watch(): Promise<void> {
    for await (const status of this.connection.status()) this.#status(status);
    this.connected = false;
    this.#first.reject(new SdkError("sdk-bus-closed", "the bus connection was closed"));
  }

  #status(status: Status): void {
    if (status.type === "disconnect") {
      this.connected = false;
      this.#greeting += 1;
      this.#tell((l) => l.disconnect?.());
    } else if (status.type === "reconnect") {
      this.connected = true;
      void this.#greet();
    } else if (status.type === "error") {
      const denial = parseDenial(status.error);
      if (denial === null) this.#tell((l) => l.problem?.(status.error.message));
      else this.#tell((l) => l.denied?.(denial.operation, denial.subject));
    }
  }

  /** Says hello until the platform answers, or a later greeting takes over. */
  async #greet(): Promise<void> {
    const turn = ++this.#greeting;
    for (let failures = 0; turn === this.#greeting; failures += 1) {
      try {
        await this.connection.flush(); // the subscriptions stand before the platform may send
        const reply = await this.connection.request(
          subjects.service(this.instrument, "hello"),
          JSON.stringify({ sdk: SDK_VERSION }),
          { timeout: HELLO_TIMEOUT_MS },
        );
        if (turn !== this.#greeting) return;
        const parsed = Welcome.safeParse(parseJson(reply.data));
        if (!parsed.success || parsed.data.instrument !== this.instrument) {
          throw new SdkError("sdk-welcome-invalid", "the platform's welcome is not for this instrument");
        }
        this.welcome = parsed.data;
        this.#first.resolve(parsed.data);
        this.#tell((l) => l.welcome?.(parsed.data));
        return;
      } catch (error) {
        if (this.connection.isClosed() || turn !== this.#greeting) return;
        this.#tell((l) => l.problem?.(`hello was not answered: ${errorText(error)}`));
        await delay(jitteredDelayMs(failures, 200, 5_000));
      }
    }
  }

  #tell(say: (listener: BusListener) => void): void {
    for (const listener of this.#listeners) say(listener);
  }
}

/** JSON text, or undefined where it is none; the schema behind it then says what was expected. */
function parseJson(data: Uint8Array): unknown {
  if (data.length === 0) return undefined;
  try {
    return JSON.parse(Buffer.from(data.buffer, data.byteOffset, data.length).toString("utf8"));
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

/** The client's PermissionViolationError, by its shape: `operation` and `subject`. */
function parseDenial(
  error: Error,
): { readonly operation: "publish" | "subscription"; readonly subject: string } | null {
  const { operation, subject } = error as { readonly operation?: unknown; readonly subject?: unknown };
  if ((operation !== "publish" && operation !== "subscription") || typeof subject !== "string") return null;
  return { operation, subject };
}
