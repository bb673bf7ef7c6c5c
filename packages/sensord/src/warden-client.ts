/**
 * Client of warden: the verbs of WARDEN_VERBS that sensord may use, over HTTP on warden's socket.
 *
 * Invariants: every reply is checked against its schema; a refusal keeps warden's own code. One
 * connection a request: warden may be killed and come back at any moment, and a kept connection
 * would then fail a request that had nothing wrong with it.
 */
import { request, type IncomingMessage } from "node:http";
import {
  ApplyOutcome,
  type AuditEntry,
  AuditPage,
  type AuditReading,
  CountersReply,
  FilterAnswer,
  type Name,
  NetworkReply,
  type PortReport,
  type TapCounters,
  type VolumeUse,
  VolumeUses,
  WARDEN_VERBS,
  WardenState,
  type WardenVerb,
} from "@bulkhead/schema";
import * as z from "zod";
import { SensordError, type SensordErrorCode } from "./error.ts";
import { readLines } from "./lines.ts";

const REPLY_TIMEOUT_MS = 30_000;
/** A container may take its time to stop. */
const ORDER_TIMEOUT_MS = 3 * 60_000;
/** An apply may import images and wait for containers. */
const APPLY_TIMEOUT_MS = 15 * 60_000;
const MAX_REPLY_BYTES = 16 * 1024 * 1024;
const MAX_PROBLEM_TEXT = 2000;

/** What warden answers to what it refuses. */
const WardenProblem = z.looseObject({ code: z.string(), message: z.string() });

export type InstrumentVerb = "start" | "stop" | "restart";

export interface WardenClient {
  counters(signal?: AbortSignal): Promise<readonly TapCounters[]>;
  /** Counts and last refusals of the ports on segments. */
  network(signal?: AbortSignal): Promise<readonly PortReport[]>;
  /** Applies the site that root staged. A refusal is an outcome, not an exception. */
  apply(signal?: AbortSignal): Promise<ApplyOutcome>;
  /** What the capture filter compiler has against these expressions; empty where nothing. */
  rejectedFilters(expressions: readonly string[]): Promise<Readonly<Record<string, string>>>;
  order(verb: InstrumentVerb, instrument: Name): Promise<void>;
  audit(entry: AuditEntry): Promise<void>;
  readAudit(reading: AuditReading): Promise<AuditPage>;
  /** As the verb `volumeUse`. */
  volumeUse(instrument: Name, births: readonly string[], signal?: AbortSignal): Promise<readonly VolumeUse[]>;
  /** One state at once, then one at each change; ends when warden closes the stream. */
  watch(signal: AbortSignal): AsyncGenerator<WardenState, void, undefined>;
}

/**
 * Errors of all methods: `warden-unreachable`, `warden-timeout`, `warden-reply-invalid`, or the
 * code of warden's own problem with its HTTP status in `fields.status`.
 */
export function makeWardenClient(socketPath: string): WardenClient {
  const call = async <T>(
    verb: WardenVerb,
    reply: z.ZodType<T> | null,
    body: unknown = null,
    signal?: AbortSignal,
  ): Promise<T | null> => {
    const deadline = AbortSignal.timeout(timeoutOf(verb));
    const either = signal === undefined ? deadline : AbortSignal.any([deadline, signal]);
    const response = await send(socketPath, verb, body, either);
    const text = await readText(response, verb);
    if (!isOk(response)) throw refusal(verb, response.statusCode ?? 0, text);
    return reply === null ? null : parseReply(reply, text, verb);
  };
  return {
    counters: async (signal) => required(await call("counters", CountersReply, null, signal)).taps,
    network: async (signal) => required(await call("network", NetworkReply, null, signal)).ports,
    apply: async (signal) => required(await call("apply", ApplyOutcome, null, signal)),
    rejectedFilters: async (expressions) => {
      if (expressions.length === 0) return {};
      return required(await call("filters", FilterAnswer, { expressions })).rejected;
    },
    order: async (verb, instrument) => {
      await call(verb, null, { instrument });
    },
    audit: async (entry) => {
      await call("audit", null, entry);
    },
    readAudit: async (reading) => required(await call("auditRead", AuditPage, reading)),
    volumeUse: async (instrument, births, signal) =>
      required(await call("volumeUse", VolumeUses, { instrument, births }, signal)).volumes,
    watch: (signal) => watch(socketPath, signal),
  };
}

async function* watch(socketPath: string, signal: AbortSignal): AsyncGenerator<WardenState, void, undefined> {
  const response = await send(socketPath, "watch", null, signal);
  if (!isOk(response)) {
    throw refusal("watch", response.statusCode ?? 0, await readText(response, "watch"));
  }
  try {
    for await (const line of readLines(response, MAX_REPLY_BYTES)) {
      yield parseReply(WardenState, line, "watch");
    }
  } finally {
    response.destroy();
  }
}

function send(
  socketPath: string,
  verb: WardenVerb,
  body: unknown,
  signal: AbortSignal,
): Promise<IncomingMessage> {
  const { method, path } = WARDEN_VERBS[verb];
  const payload = body === null ? undefined : JSON.stringify(body);
  const headers =
    payload === undefined
      ? {}
      : { "content-type": "application/json", "content-length": Buffer.byteLength(payload) };
  return new Promise((resolve, reject) => {
    const outgoing = request({ socketPath, method, path, headers, agent: false, signal });
    outgoing.on("response", resolve);
    outgoing.on("error", (cause) => {
      const timedOut =
        signal.aborted && signal.reason instanceof DOMException && signal.reason.name === "TimeoutError";
      reject(
        timedOut
          ? new SensordError("warden-timeout", `warden did not answer ${verb} in time`, { cause })
          : new SensordError("warden-unreachable", `warden cannot be asked for ${verb}`, { cause }),
      );
    });
    outgoing.end(payload);
  });
}

function timeoutOf(verb: WardenVerb): number {
  if (verb === "apply") return APPLY_TIMEOUT_MS;
  return verb === "start" || verb === "stop" || verb === "restart" ? ORDER_TIMEOUT_MS : REPLY_TIMEOUT_MS;
}

async function readText(response: IncomingMessage, verb: WardenVerb): Promise<string> {
  const chunks: Buffer[] = [];
  let sizeBytes = 0;
  try {
    for await (const chunk of response as AsyncIterable<Buffer>) {
      sizeBytes += chunk.length;
      if (sizeBytes > MAX_REPLY_BYTES) {
        throw new SensordError("warden-reply-invalid", `warden's reply to ${verb} is too large`);
      }
      chunks.push(chunk);
    }
  } catch (cause) {
    if (cause instanceof SensordError) throw cause;
    throw new SensordError("warden-unreachable", `warden's reply to ${verb} broke off`, { cause });
  }
  return Buffer.concat(chunks).toString("utf8");
}

function parseReply<T>(reply: z.ZodType<T>, text: string, verb: WardenVerb): T {
  const message = `warden's reply to ${verb} is not what the table says`;
  let data: unknown;
  try {
    data = JSON.parse(text);
  } catch (cause) {
    throw new SensordError("warden-reply-invalid", message, { cause });
  }
  const parsed = reply.safeParse(data);
  if (parsed.success) return parsed.data;
  throw new SensordError("warden-reply-invalid", message, { cause: parsed.error });
}

/** warden's own problem, with its code; or what little can be said where the body is none. */
function refusal(verb: WardenVerb, status: number, text: string): SensordError {
  const problem = WardenProblem.safeParse(parseJsonOrNull(text));
  const code = problem.success ? problem.data.code : "warden-refused";
  const detail = problem.success ? problem.data.message : `HTTP ${status}`;
  return new SensordError(
    // warden's own code, passed on as it is: it stands in docs/errors.md like ours.
    /^[a-z0-9]+(-[a-z0-9]+)+$/.test(code) ? (code as SensordErrorCode) : "warden-refused",
    detail.slice(0, MAX_PROBLEM_TEXT),
    { fields: { verb, status } },
  );
}

function parseJsonOrNull(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // Not JSON is an answer here: the caller then reports the bare status.
    return null;
  }
}

function isOk(response: IncomingMessage): boolean {
  const status = response.statusCode ?? 0;
  return status >= 200 && status < 300;
}

/** `call` answers null only where it was given no schema. */
function required<T>(value: T | null): T {
  if (value === null) throw new SensordError("warden-reply-invalid", "warden sent no reply");
  return value;
}
