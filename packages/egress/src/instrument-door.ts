/**
 * The door of one instrument: an HTTP proxy's server side for whoever comes on this instrument's socket. The socket is
 * the identity; nothing that a client says changes whose permit it is judged by.
 *
 * CONNECT for targets in TLS, absolute-form requests for those in the clear. Everything else is refused, and every
 * outcome is recorded. Redirects are the client's next request and judged like any other.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import {
  type EgressPermit,
  type EgressPolicy,
  parseEgressTarget,
  type ParsedTarget,
  renderEgressTarget,
} from "@bulkhead/schema";
import { dial } from "./dial.ts";
import { forwardHttp, readHttpRequest } from "./http-forward.ts";
import { type Log, wordsOf } from "./log.ts";
import { Pace } from "./pace.ts";
import { readHelloFor } from "./read-hello.ts";
import type { Admission, Happening, Recorder } from "./recorder.ts";
import { Refusal, statusOf } from "./refusal.ts";
import { type RelayEnd, relay } from "./relay.ts";

export interface DoorTimes {
  /** For a request's head, and for a ClientHello. */
  readonly headMs: number;
  readonly idleMs: number;
}
export const DOOR_TIMES: DoorTimes = { headMs: 10_000, idleMs: 120_000 };
/** Connections that are refused need sockets too. */
const SPARE_CONNECTIONS = 16;
const HEAD_BYTES = 16_384;
const PACE = { burst: 100, perSecond: 20 } as const;

export interface DoorParts {
  readonly policy: EgressPolicy;
  readonly permit: EgressPermit;
  readonly recorder: Recorder;
  readonly times: DoorTimes;
  readonly log: Log;
}

export class InstrumentDoor {
  readonly #recorder: Recorder;
  readonly #times: DoorTimes;
  readonly #log: Log;
  readonly #pace = new Pace({ ...PACE, nowMs: performance.now() });
  /** What is open, by what it was granted for, with the way to end it. */
  readonly #open = new Map<symbol, { readonly target: string; end: () => void }>();
  #policy: EgressPolicy;
  #permit: EgressPermit;
  readonly server: Server;

  constructor({ policy, permit, recorder, times, log }: DoorParts) {
    this.#policy = policy;
    this.#permit = permit;
    this.#recorder = recorder;
    this.#times = times;
    this.#log = log;
    this.server = createServer({
      headersTimeout: times.headMs,
      requestTimeout: 0,
      connectionsCheckingInterval: Math.min(1000, times.headMs / 2),
      maxHeaderSize: HEAD_BYTES,
      keepAlive: false,
      keepAliveTimeout: 1,
      requireHostHeader: false,
    });
    this.server.maxConnections = permit.connections + SPARE_CONNECTIONS;
    this.server.on("connect", (request, client, head) => {
      this.#connect(request, client, head).catch((error: unknown) => this.#fail(error, client));
    });
    this.server.on("request", (request, response) => {
      this.#request(request, response).catch((error: unknown) => this.#fail(error, response));
    });
    this.server.on("drop", () => this.#recorder.count(permit.instrument));
    this.server.on("clientError", (_error, socket) => {
      if (!this.#pace.take(performance.now())) this.#recorder.count(permit.instrument);
      else this.#refuse(NO_TARGET, new Refusal("request-invalid", "no HTTP request came"));
      socket.destroy();
    });
  }

  /** A new policy: what is not granted any more is ended. */
  change(policy: EgressPolicy, permit: EgressPermit): void {
    const redirected =
      JSON.stringify({ ...policy, permits: [] }) !== JSON.stringify({ ...this.#policy, permits: [] });
    this.#policy = policy;
    this.#permit = permit;
    this.server.maxConnections = permit.connections + SPARE_CONNECTIONS;
    for (const { target, end } of this.#open.values()) {
      if (redirected || !permit.targets.includes(target)) end();
    }
  }

  /** Ends it with all its connections. */
  close(): void {
    this.server.close();
    for (const { end } of this.#open.values()) end();
    this.server.closeAllConnections();
  }

  /** A fault of ours ends one connection, never the door of another instrument. */
  #fail(error: unknown, client: { destroy(): unknown }): void {
    this.#log("a connection failed", { instrument: this.#permit.instrument, error: wordsOf(error) });
    client.destroy();
  }

  async #connect(request: IncomingMessage, client: Duplex, head: Buffer): Promise<void> {
    client.on("error", () => client.destroy());
    const target = parseEgressTarget(request.url ?? "");
    const asked = target ?? targetOfText(request.url ?? "");
    let answered = false;
    await this.#within(asked, target?.scheme === "tls" ? target : null, {
      refuse: (refusal) => {
        if (answered || client.destroyed) client.destroy();
        else client.end(refusalText(refusal));
      },
      carry: async ({ socket, address }, opened) => {
        client.write("HTTP/1.1 200 Connection established\r\n\r\n");
        answered = true;
        const hello = await readHelloFor(asked.host, client, head, this.#times.headMs).catch(
          (error: unknown) => {
            socket.destroy();
            throw error instanceof Refusal ? new Refusal(error.reason, error.message, { address }) : error;
          },
        );
        return await new Promise<RelayEnd>((resolve) => {
          const going = relay(client, socket, hello, this.#limits(), resolve);
          opened(() => going.end("revoked"));
        });
      },
    });
  }

  async #request(request: IncomingMessage, response: ServerResponse): Promise<void> {
    response.on("error", () => response.destroy());
    const reading = readHttpRequest(request);
    const refuse = (refusal: Refusal): void => {
      if (response.headersSent) response.destroy();
      else response.writeHead(statusOf(refusal.reason), refusalHeaders(refusal)).end(`${refusal.message}\n`);
    };
    if (reading.outcome === "refused") {
      const asked = targetOfText(request.url ?? "");
      if (!this.#pace.take(performance.now())) this.#recorder.count(this.#permit.instrument);
      else this.#refuse(asked, new Refusal(reading.reason, REQUEST_WORDS));
      return refuse(new Refusal(reading.reason, REQUEST_WORDS));
    }
    await this.#within(reading.target, reading.target, {
      refuse,
      carry: async ({ socket }, opened) => {
        let revoked = false;
        opened(() => {
          revoked = true;
          socket.destroy();
        });
        const end = await forwardHttp(request, response, reading, socket, this.#limits());
        return revoked ? { ...end, reason: "revoked" } : end;
      },
    });
  }

  /** Judges, dials, carries and records one connection. `target` is null for what cannot be granted. */
  async #within(
    asked: Asked,
    target: ParsedTarget | null,
    how: {
      readonly refuse: (refusal: Refusal) => void;
      /** Calls `opened` when bytes begin to go; what it gives is how to end it early. */
      readonly carry: (
        dialled: Awaited<ReturnType<typeof dial>>,
        opened: (end: () => void) => void,
      ) => Promise<RelayEnd>;
    },
  ): Promise<void> {
    const beginMs = performance.now();
    if (!this.#pace.take(beginMs)) {
      this.#recorder.count(this.#permit.instrument);
      return how.refuse(new Refusal("too-fast", "too many connections a second"));
    }
    const key = Symbol(asked.host);
    let admission: Admission | null = null;
    let address = "";
    const happening = (state: Happening["state"], end?: RelayEnd): Happening => ({
      instrument: this.#permit.instrument,
      state,
      host: asked.host,
      port: asked.port,
      address,
      sentBytes: end?.sentBytes ?? 0,
      receivedBytes: end?.receivedBytes ?? 0,
      durationMs: Math.round(performance.now() - beginMs),
      reason: end?.reason ?? null,
    });
    try {
      const granted = this.#judge(target);
      admission = this.#recorder.admit();
      if (admission === null)
        throw new Refusal("records-full", "what would have to be recorded cannot be at present");
      const room = admission;
      let revoked = false;
      this.#open.set(key, { target: renderEgressTarget(granted), end: () => (revoked = true) });
      const dialled = await dial(granted, this.#policy);
      address = dialled.address;
      if (revoked) {
        dialled.socket.destroy();
        throw new Refusal("revoked", "it is not granted any more", { address });
      }
      const opened = (end: () => void): void => {
        room.record(happening("opened"));
        this.#open.set(key, { target: renderEgressTarget(granted), end });
      };
      const end = await how.carry(dialled, opened);
      room.record(happening("closed", end));
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      this.#refuse(asked, error, admission);
      how.refuse(error);
    } finally {
      this.#open.delete(key);
      admission?.release();
    }
  }

  /** @throws Refusal `not-granted`, `too-many-connections` */
  #judge(target: ParsedTarget | null): ParsedTarget {
    if (target === null || !this.#permit.targets.includes(renderEgressTarget(target))) {
      throw new Refusal("not-granted", "the site does not grant this host and port to this instrument");
    }
    if (this.#open.size >= this.#permit.connections) {
      throw new Refusal("too-many-connections", `${this.#permit.connections} connections are open already`);
    }
    return target;
  }

  #limits() {
    const { sentBytes, receivedBytes } = this.#permit;
    return { sentBytes, receivedBytes, idleMs: this.#times.idleMs };
  }

  #refuse({ host, port }: Asked, { reason, address }: Refusal, admission?: Admission | null): void {
    const happening: Happening = {
      instrument: this.#permit.instrument,
      state: "refused",
      host,
      port,
      address,
      sentBytes: 0,
      receivedBytes: 0,
      durationMs: 0,
      reason,
    };
    if (admission) admission.record(happening);
    else this.#recorder.refused(happening);
  }
}

interface Asked {
  readonly host: string;
  readonly port: number;
}

const NO_TARGET: Asked = { host: "", port: 0 };
const REQUEST_WORDS =
  "only CONNECT host:port, or a request for http://host:port/ with that Host, is taken here";

/** Host and port as far as they can be read, without any path; for the record alone. */
function targetOfText(text: string): Asked {
  const parts = /^(?:[a-z]+:\/\/)?(?:[^@/]*@)?(?<host>\[[^\]/]*\]|[^:/?#]*)(?::(?<port>[0-9]{1,5}))?/i.exec(
    text,
  )?.groups;
  const port = Number(parts?.["port"] ?? 0);
  const host = (parts?.["host"] ?? "").replaceAll(/[^\x21-\x7e]/g, "?").slice(0, 300);
  return { host, port: port <= 65_535 ? port : 0 };
}

function refusalHeaders({ reason }: Refusal): Record<string, string> {
  return { "content-type": "text/plain", "x-bulkhead-refused": reason, connection: "close" };
}

function refusalText(refusal: Refusal): string {
  const status = statusOf(refusal.reason);
  const fields = Object.entries(refusalHeaders(refusal)).map(([name, value]) => `${name}: ${value}`);
  return [
    `HTTP/1.1 ${status} Refused`,
    ...fields,
    `content-length: ${Buffer.byteLength(refusal.message) + 1}`,
    "",
    `${refusal.message}\n`,
  ].join("\r\n");
}
