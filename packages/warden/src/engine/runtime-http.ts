/**
 * One HTTP exchange with the container runtime over its Unix socket.
 *
 * Invariants: every exchange ends by a deadline or by the caller's signal; an answer is read up to a limit; a
 * connection is used once, so a restarted daemon never gives a stale one. It does not know what answers mean: see
 * runtime-client.ts.
 */
import { Agent, request as httpRequest, type IncomingMessage } from "node:http";
import type { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { WardenError } from "../error.ts";

export interface HttpCall {
  readonly socketPath: string;
  readonly method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  /** With its query. */
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Readable;
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
}

export interface HttpAnswer {
  readonly statusCode: number;
  readonly text: string;
}

const answerLimitBytes = 32 * 1024 * 1024;
const singleUse = new Agent({ keepAlive: false });

/**
 * Sends `call` and returns the whole answer, whatever its status.
 * @throws WardenError `runtime-unreachable` (no daemon, or it went away), `runtime-timeout`, `runtime-aborted`,
 *   `runtime-answer-too-long`
 */
export async function exchange(call: HttpCall): Promise<HttpAnswer> {
  const deadline = AbortSignal.timeout(call.timeoutMs);
  const signal = call.signal ? AbortSignal.any([deadline, call.signal]) : deadline;
  try {
    return await send(call, signal);
  } catch (cause) {
    if (cause instanceof WardenError) throw cause;
    const where = `${call.method} ${call.path}`;
    if (call.signal?.aborted === true) {
      throw new WardenError("runtime-aborted", `${where}: aborted`, { cause });
    }
    if (deadline.aborted) {
      throw new WardenError("runtime-timeout", `${where}: no answer within ${call.timeoutMs} ms`, { cause });
    }
    throw new WardenError(
      "runtime-unreachable",
      `the container runtime at ${call.socketPath} does not answer`,
      { cause, fields: { socketPath: call.socketPath, call: where } },
    );
  }
}

async function send(call: HttpCall, signal: AbortSignal): Promise<HttpAnswer> {
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
  const request = httpRequest({
    socketPath: call.socketPath,
    method: call.method,
    path: call.path,
    headers: { host: "runtime", ...call.headers },
    agent: singleUse,
    signal,
  });
  request.once("response", resolve);
  request.on("error", reject);
  if (call.body === undefined || typeof call.body === "string") request.end(call.body);
  // A refused upload is answered before it is all sent; then the answer tells more than the broken pipe.
  else pipeline(call.body, request).catch(reject);
  const response = await promise;
  const chunks: Buffer[] = [];
  let sizeBytes = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    sizeBytes += chunk.length;
    if (sizeBytes > answerLimitBytes) {
      request.destroy();
      throw new WardenError("runtime-answer-too-long", `${call.path}: more than ${answerLimitBytes} bytes`);
    }
    chunks.push(chunk);
  }
  return {
    statusCode: response.statusCode ?? 0,
    text: Buffer.concat(chunks).toString("utf8"),
  };
}
