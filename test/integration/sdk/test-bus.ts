/**
 * A bus for tests: a real nats-server with JetStream on a free port, and for each instrument a
 * Unix socket that is joined to it, as the bus gate does (without its permissions).
 *
 * The platform's side of the conversation (welcome, configuration, logs, health) is played by the
 * test. Everything is owned by one async disposable.
 */
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { connect as connectTcp, createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ConfigAnswer, HealthReport, LogLine, type ConfigCommand, type Welcome } from "@bulkhead/schema";
import { eventually } from "@bulkhead/testkit";
import { jetstreamManager, type JetStreamManager } from "@nats-io/jetstream";
import { connect, type NatsConnection } from "@nats-io/transport-node";
import { findNatsServer, freePort } from "../../../packages/testkit/src/broker.ts";

export const SENSOR = "test-sensor";

export interface TestBus extends AsyncDisposable {
  readonly dir: string;
  readonly platform: NatsConnection;
  readonly streams: JetStreamManager;
  /** Makes the stream of an instrument, answers its greetings, and opens its socket. */
  admit(
    welcome: Pick<Welcome, "instrument"> & Partial<Welcome>,
    socketPath?: string,
  ): Promise<TestInstrument>;
  /** `kill -9` of the broker, and a new one on the same port and store. */
  killBroker(): Promise<void>;
  startBroker(): Promise<void>;
}

export interface TestInstrument {
  readonly socketPath: string;
  readonly health: HealthReport[];
  readonly logs: LogLine[];
  readonly quarantined: unknown[];
  readonly greetings: { count: number };
  /** Cuts every connection and refuses new ones until `join` is called. */
  cut(): Promise<void>;
  join(): Promise<void>;
  configure(command: ConfigCommand, timeoutMs?: number): Promise<ConfigAnswer>;
}

export async function openTestBus(): Promise<TestBus> {
  const stack = new AsyncDisposableStack();
  const dir = await mkdtemp(join(tmpdir(), "bh-test-bus-"));
  stack.defer(() => rm(dir, { recursive: true, force: true, maxRetries: 5 }));
  const port = await freePort();
  const broker = new Broker(dir, port);
  stack.defer(() => broker.kill());
  await broker.start();
  const platform = await connect({
    servers: `127.0.0.1:${port}`,
    name: "platform",
    maxReconnectAttempts: -1,
    reconnectTimeWait: 100,
  });
  stack.defer(() => platform.close());
  const streams = await jetstreamManager(platform);
  return {
    dir,
    platform,
    streams,
    killBroker: () => broker.kill(),
    startBroker: () => broker.start(),
    admit: async (welcome, socketPath = join(dir, `${welcome.instrument}.sock`)) => {
      const instrument = new Instrument(platform, welcome, socketPath, port);
      stack.defer(() => instrument.cut());
      await streams.streams.add({
        name: `EV_${welcome.instrument}`,
        subjects: [`ev.${welcome.instrument}.>`],
      });
      await instrument.join();
      return instrument;
    },
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

class Instrument implements TestInstrument {
  readonly socketPath: string;
  readonly health: HealthReport[] = [];
  readonly logs: LogLine[] = [];
  readonly quarantined: unknown[] = [];
  readonly greetings = { count: 0 };
  readonly #platform: NatsConnection;
  readonly #name: string;
  readonly #port: number;
  readonly #sockets = new Set<Socket>();
  #server: Server | null = null;

  constructor(
    platform: NatsConnection,
    welcome: Pick<Welcome, "instrument"> & Partial<Welcome>,
    socketPath: string,
    port: number,
  ) {
    this.#platform = platform;
    this.#name = welcome.instrument;
    this.#port = port;
    this.socketPath = socketPath;
    const nothing = { consumers: [], emits: [], sends: [], accepts: [], publishes: [], receives: [] };
    const whole: Welcome = { sensor: SENSOR, ...nothing, ...welcome };
    this.#serve("hello", () => {
      this.greetings.count += 1;
      return whole;
    });
    this.#serve("health", (payload) => void this.health.push(HealthReport.parse(payload)));
    this.#serve("log", (payload) => void this.logs.push(LogLine.parse(payload)));
    this.#serve("quarantine", (payload) => void this.quarantined.push(payload));
  }

  async join(): Promise<void> {
    await rm(this.socketPath, { force: true });
    const server = createServer((client) => {
      const upstream = connectTcp(this.#port, "127.0.0.1");
      for (const socket of [client, upstream]) {
        this.#sockets.add(socket);
        socket.on("error", () => socket.destroy());
        socket.on("close", () => this.#sockets.delete(socket));
      }
      client.pipe(upstream).pipe(client);
      client.on("close", () => upstream.destroy());
      upstream.on("close", () => client.destroy());
    });
    server.listen(this.socketPath);
    await once(server, "listening");
    this.#server = server;
  }

  async cut(): Promise<void> {
    this.#server?.close();
    this.#server = null;
    for (const socket of this.#sockets) socket.destroy();
    await rm(this.socketPath, { force: true });
  }

  async configure(command: ConfigCommand, timeoutMs = 60_000): Promise<ConfigAnswer> {
    const reply = await this.#platform.request(`cmd.${this.#name}.config`, JSON.stringify(command), {
      timeout: timeoutMs,
    });
    return ConfigAnswer.parse(reply.json());
  }

  #serve(service: string, take: (payload: unknown) => unknown): void {
    this.#platform.subscribe(`svc.${this.#name}.${service}`, {
      callback: (error, message) => {
        if (error !== null) return;
        const answer = take(message.json());
        if (message.reply !== undefined && message.reply !== "")
          message.respond(JSON.stringify(answer ?? {}));
      },
    });
  }
}

class Broker {
  readonly #dir: string;
  readonly #port: number;
  #process: ChildProcess | null = null;

  constructor(dir: string, port: number) {
    this.#dir = dir;
    this.#port = port;
  }

  async start(): Promise<void> {
    const file = join(this.#dir, "nats.conf");
    const store = join(this.#dir, "jetstream");
    await writeFile(
      file,
      `listen: "127.0.0.1:${this.#port}"\nmax_payload: 2MB\nmax_pending: 64MB\njetstream { store_dir: "${store}", max_mem: 64MB, max_file: 4GB }\n`,
    );
    const child = spawn(await findNatsServer(), ["-c", file], { stdio: "ignore" });
    this.#process = child;
    await eventually("the broker listens", () => canConnect(this.#port));
  }

  async kill(): Promise<void> {
    const child = this.#process;
    this.#process = null;
    if (child === null || child.exitCode !== null) return;
    const ended = once(child, "exit");
    child.kill("SIGKILL");
    await ended;
  }
}

async function canConnect(port: number): Promise<boolean> {
  const socket = connectTcp(port, "127.0.0.1");
  try {
    await once(socket, "connect");
    return true;
  } catch {
    return false; // not listening yet
  } finally {
    socket.destroy();
  }
}
