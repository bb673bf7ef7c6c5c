/**
 * A bus for tests: a real nats-server on a free port, sensord's bus in front of it, and clients:
 * the npm client and bare sockets, through a gate or straight to the broker.
 */
import { once } from "node:events";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { createConnection, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { BusInstrument } from "@bulkhead/core";
import { CE_HEADER, type HealthReport, MESSAGE_ID_HEADER, type Name } from "@bulkhead/schema";
import { eventually } from "@bulkhead/testkit";
import {
  type ConnectionOptions,
  headers,
  type MsgHdrs,
  type NatsConnection,
  NatsConnectionImpl,
  setTransportFactory,
} from "@nats-io/transport-node";
import { NodeTransport } from "@nats-io/transport-node/lib/node_transport.js";
import { Bus, type BusDesired } from "../../../packages/sensord/src/bus/bus.ts";
import { readBrokerState } from "../../../packages/sensord/src/bus/broker-state.ts";
import { brokerPaths } from "../../../packages/sensord/src/bus/broker-config.ts";
import { type BusLimits, DEFAULT_BUS_LIMITS } from "../../../packages/sensord/src/bus/limits.ts";
import {
  type InstrumentServices,
  NO_SERVICES,
} from "../../../packages/sensord/src/bus/instrument-services.ts";
import type { Log } from "../../../packages/sensord/src/log.ts";
import { findNatsServer, freePort, TestBroker } from "../../../packages/testkit/src/broker.ts";
import { RawClient } from "./raw-client.ts";

export const IDS: BusInstrument = {
  name: "ids",
  needs: [
    {
      id: "dns",
      kind: "event.emit",
      type: "suricata.dns",
      audience: ["users", "instruments"],
      class: "technical",
    },
    {
      id: "alert",
      kind: "event.emit",
      type: "suricata.alert",
      audience: ["users"],
      class: "technical",
    },
  ],
};
export const PDNS: BusInstrument = {
  name: "pdns",
  needs: [
    { id: "in", kind: "event.consume", type: "suricata.dns" },
    {
      id: "out",
      kind: "event.emit",
      type: "pdns.new",
      audience: ["users", "instruments"],
      class: "technical",
    },
  ],
};
/** Emits under the same types as `ids`, and is granted nothing. */
export const EVIL: BusInstrument = { name: "evil", needs: IDS.needs };
export const DNS_GRANT = { from: "ids", type: "suricata.dns", to: "pdns" } as const;

export const DESIRED: BusDesired = {
  sensor: "lab",
  instruments: [IDS, PDNS, EVIL],
  grants: { events: [DNS_GRANT], messages: [], resources: [] },
};

export interface FixtureOptions {
  readonly limits?: {
    readonly [K in keyof BusLimits]?: Partial<BusLimits[K]>;
  };
  readonly desired?: BusDesired;
  readonly services?: InstrumentServices;
  readonly onHello?: (instrument: Name) => void;
}

export class BusFixture implements AsyncDisposable {
  readonly bus: Bus;
  readonly broker: TestBroker;
  readonly layout: { slug: string; brokerDir: string; socketsDir: string; optDir: string };
  readonly natsServer: string;
  readonly port: number;
  readonly limits: BusLimits;
  readonly hellos: Name[] = [];
  readonly health: { readonly from: Name; readonly report: HealthReport }[] = [];
  readonly logLines: string[] = [];
  readonly #stack: AsyncDisposableStack;

  private constructor(parts: {
    bus: Bus;
    broker: TestBroker;
    layout: BusFixture["layout"];
    natsServer: string;
    port: number;
    limits: BusLimits;
    stack: AsyncDisposableStack;
    heard: Pick<BusFixture, "hellos" | "health" | "logLines">;
  }) {
    this.bus = parts.bus;
    this.broker = parts.broker;
    this.layout = parts.layout;
    this.natsServer = parts.natsServer;
    this.port = parts.port;
    this.limits = parts.limits;
    this.#stack = parts.stack;
    this.hellos = parts.heard.hellos;
    this.health = parts.heard.health;
    this.logLines = parts.heard.logLines;
  }

  /** The bus with `desired` applied. */
  static async open(options: FixtureOptions = {}): Promise<BusFixture> {
    await using stack = new AsyncDisposableStack();
    const dir = await mkdtemp(join(tmpdir(), "bulkhead-bus-"));
    stack.defer(() => rm(dir, { recursive: true, force: true }));
    const layout = {
      slug: "bulkhead-bus-test",
      brokerDir: join(dir, "broker"),
      socketsDir: join(dir, "sockets"),
      optDir: join(dir, "opt"),
    };
    const desired = options.desired ?? DESIRED;
    for (const { name } of desired.instruments) await makeSocketDir(layout.socketsDir, name);
    const limits: BusLimits = {
      gate: { ...DEFAULT_BUS_LIMITS.gate, connections: 32, connectBurst: 1000, ...options.limits?.gate },
      broker: { ...DEFAULT_BUS_LIMITS.broker, ...options.limits?.broker },
      streams: { ...DEFAULT_BUS_LIMITS.streams, ...options.limits?.streams },
    };
    const natsServer = await findNatsServer();
    const port = await freePort();
    const heard: Pick<BusFixture, "hellos" | "health" | "logLines"> = {
      hellos: [],
      health: [],
      logLines: [],
    };
    const bus = await Bus.open({
      layout,
      settings: { brokerPort: port },
      natsServer,
      limits,
      log: collectingLog(heard.logLines),
      services: options.services ?? NO_SERVICES,
      listeners: {
        hello: (name) => {
          heard.hellos.push(name);
          options.onHello?.(name);
        },
        health: (from, report) => void heard.health.push({ from, report }),
        refused: () => undefined,
      },
    });
    stack.use(bus);
    const { configFile } = brokerPaths(layout);
    const broker = stack.use(await TestBroker.start({ natsServer, configFile, port }));
    await bus.applyGrants(desired);
    await eventually("gates", () => bus.state().waiting.length === 0);
    return new BusFixture({ bus, broker, layout, natsServer, port, limits, heard, stack: stack.move() });
  }

  socketPath(instrument: Name): string {
    return join(this.layout.socketsDir, instrument, "bus.sock");
  }

  /** The npm client through an instrument's gate. */
  async client(instrument: Name, options: ConnectionOptions = {}): Promise<NatsConnection> {
    return this.#own(
      await dial({
        inboxPrefix: `_INBOX.${instrument}`,
        socketPath: this.socketPath(instrument),
        reconnectTimeWait: 50,
        maxReconnectAttempts: -1,
        ...options,
      }),
    );
  }

  /** The npm client straight to the broker, as this user: what an attacker would have without the gate. */
  async direct(user: Name, options: ConnectionOptions = {}): Promise<NatsConnection> {
    const state = await readBrokerState(brokerPaths(this.layout));
    return this.#own(
      await dial({
        servers: `127.0.0.1:${this.port}`,
        inboxPrefix: `_INBOX.${user}`,
        user,
        pass: state?.passwords[user] ?? "",
        ...options,
      }),
    );
  }

  /** A bare socket at an instrument's gate, with its CONNECT sent unless told otherwise. */
  async raw(instrument: Name, connect = true): Promise<RawClient> {
    const socket = createConnection(this.socketPath(instrument));
    await once(socket, "connect");
    const raw = this.#stack.use(new RawClient(socket));
    if (connect) {
      raw.send('CONNECT {"verbose":false,"headers":true,"no_responders":true}\r\nPING\r\n');
      await raw.until(/PONG\r\n/);
    }
    return raw;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack[Symbol.asyncDispose]();
  }

  #own(connection: NatsConnection): NatsConnection {
    this.#stack.defer(() => connection.close());
    return connection;
  }
}

/** All items of a sequence that ends, at most `limit`. */
export async function collect<T>(items: AsyncIterable<T>, limit = Infinity): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) {
    all.push(item);
    if (all.length >= limit) break;
  }
  return all;
}

export async function makeSocketDir(socketsDir: string, instrument: Name): Promise<void> {
  await mkdir(join(socketsDir, instrument), { recursive: true });
}

/** Headers of one event, as the SDK sends them. */
export function eventHeaders(id: string, type: string): MsgHdrs {
  const attributes = headers();
  attributes.set(MESSAGE_ID_HEADER, id);
  attributes.set(CE_HEADER.specversion, "1.0");
  attributes.set(CE_HEADER.id, id);
  attributes.set(CE_HEADER.source, "/lab/ids");
  attributes.set(CE_HEADER.type, type);
  attributes.set(CE_HEADER.time, new Date().toISOString());
  return attributes;
}

/** One HPUB line with its block, as it goes over the wire. */
export function hpub(subject: string, headerLines: readonly string[], payload: string): string {
  const block = `NATS/1.0\r\n${headerLines.map((line) => `${line}\r\n`).join("")}\r\n`;
  return `HPUB ${subject} ${block.length} ${block.length + payload.length}\r\n${block}${payload}\r\n`;
}

interface DialOptions extends ConnectionOptions {
  readonly socketPath?: string;
}

/** Dials a Unix socket where the options name one; the library has one transport factory for a process. */
class EitherTransport extends NodeTransport {
  override dial(place: { hostname: string; port: number }): Promise<Socket> {
    const { socketPath } = this.options as DialOptions; // what `dial` below gave the client
    if (socketPath === undefined) return super.dial(place);
    const { promise, resolve, reject } = Promise.withResolvers<Socket>();
    const socket = createConnection(socketPath);
    socket.once("connect", () => {
      socket.removeAllListeners();
      resolve(socket);
    });
    socket.once("error", reject);
    return promise;
  }
}

function dial(options: DialOptions): Promise<NatsConnection> {
  setTransportFactory({ factory: () => new EitherTransport() });
  return NatsConnectionImpl.connect({ servers: "127.0.0.1:4222", ...options });
}

function collectingLog(lines: string[]): Log {
  const write = (level: string) => (message: string, fields?: unknown) => {
    lines.push(`${level} ${message} ${JSON.stringify(fields ?? {})}`);
  };
  return { info: write("info"), warn: write("warn"), error: write("error") };
}
