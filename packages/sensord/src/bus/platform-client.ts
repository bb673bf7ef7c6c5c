/**
 * Platform client: sensord's own connection to the broker.
 *
 * Invariants: it comes back by itself for as long as it is open; everything that an instrument
 * answered is checked against its schema before anybody hears of it.
 */
import { randomUUID } from "node:crypto";
import {
  CE_HEADER,
  type CommandVerb,
  ConfigAnswer,
  type ConfigCommand,
  MESSAGE_ID_HEADER,
  type MessageRefusal,
  type Name,
  PLATFORM_NAME,
  REFUSED_HEADER,
  RetentionAnswer,
  ResourceAnswer,
  type ResourceNotice,
  type RetentionCommand,
  subjects,
} from "@bulkhead/schema";
import { jetstream, jetstreamManager, type JetStreamManager } from "@nats-io/jetstream";
import { connect, headers, type Msg, type NatsConnection } from "@nats-io/transport-node";
import type * as z from "zod";
import { SensordError } from "../error.ts";
import { describeError, type Log } from "../log.ts";
import { pause } from "../pause.ts";
import { reconnectDelayMs } from "../reconnect-delay.ts";
import type { Credentials } from "./handshake.ts";
import { hearReports, type InstrumentPorts, parseMessage } from "./instrument-reports.ts";
import { type InstrumentServices, serveInstruments } from "./instrument-services.ts";

export interface PlatformClientOptions {
  readonly port: number;
  readonly credentials: Credentials;
  readonly ports: InstrumentPorts;
  readonly services: InstrumentServices;
  /** After each time that a connection was made, the first included. */
  readonly onConnected: () => void;
  readonly log: Log;
}

export interface CommandOptions {
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
}

const RECONNECT = { firstMs: 100, longestMs: 2000 } as const;
const EMIT_TIMEOUT_MS = 5000;

export class PlatformClient implements AsyncDisposable {
  readonly #options: PlatformClientOptions;
  readonly #stop = new AbortController();
  readonly #done: Promise<void>;
  #connection: NatsConnection | null = null;
  #connected = Promise.withResolvers<NatsConnection>();
  #isUp = false;

  constructor(options: PlatformClientOptions) {
    this.#options = options;
    this.#connected.promise.catch(() => undefined); // who waits for it sees the rejection
    this.#done = this.#keep(this.#stop.signal);
  }

  /** Whether there is a connection at this moment. */
  get isUp(): boolean {
    return this.#isUp;
  }

  /** The connection that there is, or was last; null before the first and between two. */
  get current(): NatsConnection | null {
    return this.#connection;
  }

  /** The connection, once there was one. @throws SensordError `bus-broker-unreachable` after `timeoutMs`. */
  async connection(timeoutMs: number): Promise<NatsConnection> {
    const ended = new AbortController();
    const late = pause(timeoutMs, AbortSignal.any([ended.signal, this.#stop.signal])).then(() => null);
    const connection = await Promise.race([this.#connected.promise, late]);
    ended.abort();
    if (connection !== null) return connection;
    throw new SensordError("bus-broker-unreachable", "there is no connection to the broker", {
      fields: { port: this.#options.port },
    });
  }

  async manager(timeoutMs: number): Promise<JetStreamManager> {
    return jetstreamManager(await this.connection(timeoutMs), { checkAPI: false });
  }

  /**
   * Sends an instrument its configuration and returns what it answered.
   * @throws SensordError `bus-no-answer` when nobody is there or answers in time,
   * `bus-bad-answer` when the answer is none.
   */
  sendConfig(instrument: Name, command: ConfigCommand, options: CommandOptions): Promise<ConfigAnswer> {
    return this.#ask(instrument, "config", command, ConfigAnswer, options);
  }

  /**
   * Has an instrument forget what is older than a moment, and returns what it answered.
   * @throws SensordError as `sendConfig`.
   */
  sendRetention(
    instrument: Name,
    command: RetentionCommand,
    options: CommandOptions,
  ): Promise<RetentionAnswer> {
    return this.#ask(instrument, "retention", command, RetentionAnswer, options);
  }

  /**
   * Tells a receiver of a version that lies with it, and returns what it made of it.
   * @throws SensordError as `sendConfig`.
   */
  sendResource(instrument: Name, notice: ResourceNotice, options: CommandOptions): Promise<ResourceAnswer> {
    return this.#ask(instrument, "resource", notice, ResourceAnswer, options);
  }

  /** Tells an instrument something; whether it is there to hear it is not known. */
  tell(instrument: Name, verb: Exclude<CommandVerb, "config">): void {
    if (this.#connection?.isClosed() === false) {
      this.#connection.publish(subjects.command(instrument, verb), "{}");
    }
  }

  /** Answers a sender in the recipient's place: why its message was not done. */
  refuse(reply: string, refusal: MessageRefusal, words: string): void {
    if (this.#connection?.isClosed() !== false) return;
    const attributes = headers();
    attributes.set(REFUSED_HEADER, refusal);
    this.#connection.publish(reply, words, { headers: attributes });
  }

  /**
   * Emits an event of the platform's own; returns its sequence once the broker has stored it.
   * @throws SensordError `bus-emit-failed`. With the same `id` it may be tried again.
   */
  async emit(type: string, data: unknown, id: string = randomUUID()): Promise<number> {
    const attributes = headers();
    attributes.set(MESSAGE_ID_HEADER, id);
    attributes.set(CE_HEADER.specversion, "1.0");
    attributes.set(CE_HEADER.id, id);
    attributes.set(CE_HEADER.source, `/${PLATFORM_NAME}`);
    attributes.set(CE_HEADER.type, type);
    attributes.set(CE_HEADER.time, new Date().toISOString());
    try {
      const ack = await jetstream(await this.connection(EMIT_TIMEOUT_MS)).publish(
        subjects.event(PLATFORM_NAME, type),
        JSON.stringify(data),
        { headers: attributes, timeout: EMIT_TIMEOUT_MS },
      );
      return ack.seq;
    } catch (cause) {
      throw new SensordError("bus-emit-failed", `the event ${type} was not stored`, { cause });
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#connection?.close();
    await this.#done;
  }

  async #ask<T>(
    instrument: Name,
    verb: CommandVerb,
    command: unknown,
    answer: z.ZodType<T>,
    options: CommandOptions,
  ): Promise<T> {
    const said = parseMessage(await this.#request(instrument, verb, command, options), answer);
    if (said.ok) return said.data;
    this.#options.ports.badReport(instrument, verb, said.issue);
    throw new SensordError("bus-bad-answer", `${instrument} answered ${verb} with nonsense`);
  }

  async #request(
    instrument: Name,
    verb: CommandVerb,
    payload: unknown,
    { timeoutMs, signal }: CommandOptions,
  ): Promise<Msg> {
    const message = `${instrument} did not answer ${verb}`;
    const aborted = Promise.withResolvers<never>();
    aborted.promise.catch(() => undefined); // whoever races with it sees it; nobody does yet
    const abort = (): void => aborted.reject(new SensordError("bus-no-answer", `${message}: given up`));
    try {
      signal?.addEventListener("abort", abort, { once: true });
      if (signal?.aborted === true) abort();
      const connection = await Promise.race([this.connection(timeoutMs), aborted.promise]);
      const request = connection.request(subjects.command(instrument, verb), JSON.stringify(payload), {
        timeout: timeoutMs,
      });
      return await Promise.race([request, aborted.promise]);
    } catch (cause) {
      if (cause instanceof SensordError) throw cause;
      throw new SensordError("bus-no-answer", message, { cause });
    } finally {
      signal?.removeEventListener("abort", abort);
    }
  }

  /** Holds a connection until the end. The client library mends one that broke; this makes the first, and any after that. */
  async #keep(signal: AbortSignal): Promise<void> {
    for (let failures = 0; !signal.aborted; failures += 1) {
      try {
        const connection = await this.#connect();
        failures = 0;
        this.#connection = connection;
        if (signal.aborted) await connection.close();
        else await this.#use(connection);
      } catch (error) {
        if (failures === 0) this.#options.log.info("broker not reachable yet", describeError(error));
      }
      await pause(reconnectDelayMs(failures, RECONNECT, Math.random()), signal);
    }
  }

  #connect(): Promise<NatsConnection> {
    const { port, credentials } = this.#options;
    return connect({
      servers: `127.0.0.1:${port}`,
      name: PLATFORM_NAME,
      user: credentials.user,
      pass: credentials.password,
      inboxPrefix: subjects.inbox(PLATFORM_NAME),
      maxReconnectAttempts: -1,
      reconnectDelayHandler: () => reconnectDelayMs(3, RECONNECT, Math.random()),
      ignoreAuthErrorAbort: true,
      ignoreClusterUpdates: true,
      pingInterval: 10_000,
      maxPingOut: 2,
      timeout: 5000,
    });
  }

  /** Returns when the connection is closed for good. */
  async #use(connection: NatsConnection): Promise<void> {
    const { ports, services, log } = this.#options;
    hearReports(connection, ports, log);
    serveInstruments(
      connection,
      services,
      (from, service, reason) => ports.badReport(from, service, reason),
      log,
    );
    void this.#watch(connection);
    this.#up(connection);
    await connection.closed();
    this.#isUp = false;
    this.#connection = null;
    this.#connected = Promise.withResolvers();
    this.#connected.promise.catch(() => undefined);
  }

  async #watch(connection: NatsConnection): Promise<void> {
    for await (const status of connection.status()) {
      if (status.type === "disconnect") this.#isUp = false;
      if (status.type === "reconnect") this.#up(connection);
      if (status.type === "error") this.#options.log.warn("bus", describeError(status.error));
    }
  }

  #up(connection: NatsConnection): void {
    this.#isUp = true;
    this.#connected.resolve(connection);
    this.#options.onConnected();
  }
}
