/**
 * Broker: a real nats-server for tests, on a port of its own, started again like a supervisor would.
 *
 * Invariants: it ends with its owner; only the process that it started is signalled. The program is
 * `BULKHEAD_NATS_SERVER`, or is fetched through apt as set-up does. It writes no configuration.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createConnection, createServer } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { ensureBroker } from "@bulkhead/images";
import { HOST_LAYOUT } from "@bulkhead/schema";
import { TestkitError } from "./error.ts";

export interface BrokerStart {
  readonly natsServer: string;
  readonly configFile: string;
  readonly port: number;
}

const START_TIMEOUT_MS = 20_000;
const RESTART_MS = 100;
const LINES_KEPT = 200;

/** The nats-server program that tests use. @throws ImageFault where it has to be fetched and cannot be. */
export async function findNatsServer(): Promise<string> {
  const named = process.env["BULKHEAD_NATS_SERVER"];
  if (named !== undefined) return named;
  const { cacheDir } = HOST_LAYOUT;
  return (await ensureBroker({ binDir: `${cacheDir}/test-bin`, cacheDir })).file;
}

/** A loopback port that nobody listens on at this moment. */
export async function freePort(): Promise<number> {
  const server = createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  await once(server, "close");
  if (address === null || typeof address === "string") throw new TypeError("not a TCP address");
  return address.port;
}

export class TestBroker implements AsyncDisposable {
  readonly #start: BrokerStart;
  readonly #lines: string[] = [];
  #child: ChildProcess | null = null;
  #disposed = false;
  /** Starts so far. */
  starts = 0;

  private constructor(start: BrokerStart) {
    this.#start = start;
  }

  /** Starts the broker and returns when it takes connections. @throws TestkitError `testkit-tool-failed`. */
  static async start(start: BrokerStart): Promise<TestBroker> {
    const broker = new TestBroker(start);
    broker.#spawn();
    await broker.listening();
    return broker;
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  /** What it printed last. */
  get log(): string {
    return this.#lines.join("");
  }

  /** Ends it as a power cut would; it is started again. Returns when it takes connections again. */
  async crash(): Promise<void> {
    const child = this.#child;
    if (child === null) return;
    const exited = once(child, "exit");
    child.kill("SIGKILL");
    await exited;
    await this.listening();
  }

  /** Returns when it takes connections. */
  async listening(): Promise<void> {
    const deadline = Date.now() + START_TIMEOUT_MS;
    while (!(await answers(this.#start.port))) {
      if (Date.now() > deadline) {
        await this[Symbol.asyncDispose]();
        throw new TestkitError("testkit-tool-failed", `nats-server does not listen: ${this.log}`);
      }
      await delay(20);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#disposed = true;
    const child = this.#child;
    if (child === null || child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, "exit");
    child.kill("SIGKILL");
    await exited;
  }

  #spawn(): void {
    this.starts += 1;
    const { natsServer, configFile } = this.#start;
    const child = spawn(natsServer, ["-c", configFile], { stdio: ["ignore", "ignore", "pipe"] });
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      this.#lines.push(text);
      this.#lines.splice(0, this.#lines.length - LINES_KEPT);
    });
    child.on("error", (error) => this.#lines.push(error.message));
    child.on("exit", () => {
      const again = setTimeout(() => {
        if (!this.#disposed) this.#spawn();
      }, RESTART_MS);
      again.unref();
    });
    this.#child = child;
  }
}

async function answers(port: number): Promise<boolean> {
  const socket = createConnection({ host: "127.0.0.1", port });
  const { promise, resolve } = Promise.withResolvers<boolean>();
  socket.once("data", () => resolve(true)); // its INFO
  socket.once("error", () => resolve(false));
  socket.once("close", () => resolve(false));
  const answer = await promise;
  socket.destroy();
  return answer;
}
