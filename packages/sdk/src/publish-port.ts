/**
 * Publish port: what the publisher needs of the bus, and its implementation over a NATS
 * connection.
 *
 * Invariants: `send` never waits and never throws for a lost link; an awaited reply always
 * settles (answer, silence after the deadline, or silence at once when the link goes).
 */
import { createInbox, type MsgHdrs } from "@nats-io/transport-node";
import { subjects } from "@bulkhead/schema";
import type { Bus } from "./bus.ts";

/** What became of one event. `silent`: nobody said anything; it may be stored or not. */
export type PublishAnswer =
  | { readonly kind: "stored"; readonly sequence: number; readonly duplicate: boolean }
  | { readonly kind: "refused"; readonly reason: string }
  | { readonly kind: "busy"; readonly reason: string }
  | { readonly kind: "silent" };

export interface PublishPort {
  readonly connected: boolean;
  /** Resolves when there is a connection. */
  whenConnected(): Promise<void>;
  /** One core publish; with `reply`, the broker's answer goes there. */
  send(subject: string, record: Uint8Array, header: Uint8Array, reply?: string): void;
  /** A reply subject of our own and the answer that comes on it. */
  expectAnswer(timeoutMs: number): {
    readonly reply: string;
    readonly answer: Promise<PublishAnswer>;
  };
}

/** JetStream error codes (nats-server's errors.json) that mean: this record will never be taken. */
const REFUSALS: ReadonlySet<number> = new Set([10054, 10055, 10060]);

export function busPublishPort(bus: Bus): PublishPort {
  const { connection } = bus;
  const inbox = createInbox(subjects.inbox(bus.instrument));
  const waiting = new Map<string, (answer: PublishAnswer) => void>();
  let serial = 0;
  let connectedAgain = Promise.withResolvers<void>();
  connection.subscribe(`${inbox}.*`, {
    callback: (error, message) => {
      if (error !== null) return;
      waiting.get(message.subject)?.(parseAnswer(message.data, message.headers?.code ?? 0));
    },
  });
  bus.listen({
    welcome: () => {
      connectedAgain.resolve();
      connectedAgain = Promise.withResolvers<void>();
    },
    disconnect: () => {
      for (const settle of waiting.values()) settle({ kind: "silent" });
    },
  });
  return {
    get connected() {
      return bus.connected;
    },
    whenConnected: () => (bus.connected ? Promise.resolve() : connectedAgain.promise),
    send(subject, record, header, reply) {
      if (!bus.connected || connection.isClosed()) return;
      // The client only calls encode() on what it is given here; see event-header.ts.
      const headers = { encode: () => header } as unknown as MsgHdrs;
      connection.publish(subject, record, reply === undefined ? { headers } : { headers, reply });
    },
    expectAnswer(timeoutMs) {
      const reply = `${inbox}.${(serial += 1).toString(36)}`;
      const { promise, resolve } = Promise.withResolvers<PublishAnswer>();
      const timer = setTimeout(() => settle({ kind: "silent" }), timeoutMs);
      const settle = (answer: PublishAnswer): void => {
        clearTimeout(timer);
        waiting.delete(reply);
        resolve(answer);
      };
      waiting.set(reply, settle);
      // The link may have gone since the caller looked; then nothing was sent and nothing comes.
      if (!bus.connected) settle({ kind: "silent" });
      return { reply, answer: promise };
    },
  };
}

/** A PubAck: `{stream, seq, duplicate?}` or `{error: {code, err_code, description}}`; 503 is no stream. */
function parseAnswer(data: Uint8Array, statusCode: number): PublishAnswer {
  if (statusCode === 503) return { kind: "busy", reason: "the broker has no stream for this" };
  let ack: unknown;
  try {
    ack = JSON.parse(Buffer.from(data.buffer, data.byteOffset, data.length).toString("utf8"));
  } catch (error) {
    if (error instanceof SyntaxError) return { kind: "silent" };
    throw error;
  }
  if (typeof ack !== "object" || ack === null) return { kind: "silent" };
  if ("error" in ack && typeof ack.error === "object" && ack.error !== null) {
    const code = "err_code" in ack.error ? Number(ack.error.err_code) : 0;
    const reason = "description" in ack.error ? String(ack.error.description) : "no reason given";
    return { kind: REFUSALS.has(code) ? "refused" : "busy", reason };
  }
  if (!("seq" in ack) || typeof ack.seq !== "number") return { kind: "silent" };
  return { kind: "stored", sequence: ack.seq, duplicate: "duplicate" in ack && ack.duplicate === true };
}
