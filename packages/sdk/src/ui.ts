/**
 * UI: serves an instrument's HTTP over a connection that the instrument dialled.
 *
 * The instrument dials `ui.sock` and is then the HTTP/2 server on that connection, so that no
 * instrument listens anywhere. It reconnects for ever.
 *
 * Invariants: a response that could not be finished is reset, never ended, so that the other side
 * can tell truncation from an end; an aborted upload is not taken for a whole one; windows are
 * raised, since the defaults halve the throughput. It does not authenticate: who may ask was
 * decided on the platform's side before a byte came here.
 */
import type { Http2ServerRequest, Http2ServerResponse } from "node:http2";
import { createConnection, type Socket } from "node:net";
import { SdkError, errorText } from "./error.ts";
import { jitteredDelayMs } from "./jitter.ts";

export type UiRequest = Http2ServerRequest;
export type UiResponse = Http2ServerResponse;
/** As for node:http; a rejection becomes a 500, or a reset where headers went out already. */
export type UiHandler = (request: UiRequest, response: UiResponse) => void | Promise<void>;

export interface UiOptions {
  readonly socketPath: string;
  readonly handler: UiHandler;
  readonly onProblem?: (text: string) => void;
}

const WINDOW_BYTES = 1024 * 1024;
const SESSION_WINDOW_BYTES = 16 * 1024 * 1024;
const MAX_STREAMS = 100;

/** Serves until disposed of. It returns at once; the first connection may come later. */
export function serveUi(options: UiOptions): AsyncDisposable & { readonly connected: boolean } {
  // Not by an import: most instruments have no UI, and HTTP/2 alone is 2 MB of memory.
  const server = process.getBuiltinModule("node:http2").createServer(
    {
      settings: {
        initialWindowSize: WINDOW_BYTES,
        maxConcurrentStreams: MAX_STREAMS,
        enableConnectProtocol: true,
      },
      maxSessionMemory: 64,
    },
    (request, response) => void answer(options, request, response),
  );
  server.on("session", (session) => session.setLocalWindowSize(SESSION_WINDOW_BYTES));
  server.on("sessionError", (error) => options.onProblem?.(errorText(error)));
  let socket: Socket | null = null;
  let retry: NodeJS.Timeout | null = null;
  let failures = 0;
  let closed = false;

  const dial = (): void => {
    const next = createConnection(options.socketPath);
    socket = next;
    next.once("connect", () => {
      failures = 0;
      server.emit("connection", next);
    });
    next.on("error", (error) => {
      if (failures === 0) options.onProblem?.(`ui socket: ${error.message}`);
    });
    next.once("close", () => {
      socket = null;
      if (!closed) retry = setTimeout(dial, jitteredDelayMs(failures++, 200, 5_000));
    });
  };
  dial();
  return {
    get connected() {
      return socket !== null && !socket.connecting;
    },
    async [Symbol.asyncDispose]() {
      closed = true;
      if (retry !== null) clearTimeout(retry);
      socket?.destroy();
      server.close();
    },
  };
}

async function answer(options: UiOptions, request: UiRequest, response: UiResponse): Promise<void> {
  response.stream.on("error", () => undefined); // a reset by the other side is theirs to make
  try {
    await options.handler(request, response);
  } catch (error) {
    options.onProblem?.(`${request.method} ${request.url}: ${errorText(error)}`);
    if (response.headersSent)
      response.stream.destroy(error instanceof Error ? error : new Error(String(error)));
    else sendJson(response, error instanceof SdkError ? 400 : 500, { title: errorText(error) });
  }
}

/** Ends the response with a JSON document. */
export function sendJson(response: UiResponse, status: number, body: unknown): void {
  response.writeHead(status, { "content-type": "application/json; charset=utf-8" });
  response.end(JSON.stringify(body));
}

/**
 * Reads a request's whole body.
 * @throws SdkError `sdk-ui-body-too-large`, `sdk-ui-body-truncated`
 */
export async function readBody(request: UiRequest, maxBytes: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request) {
    const part = chunk as Buffer; // no encoding was set
    bytes += part.length;
    if (bytes > maxBytes) throw new SdkError("sdk-ui-body-too-large", `a body of at most ${maxBytes} bytes`);
    chunks.push(part);
  }
  // A reset stream also emits `end`; a whole request's stream is still there, for the answer.
  const { stream } = request;
  const announced = request.headers["content-length"];
  const short = announced !== undefined && Number(announced) !== bytes;
  if (short || stream.aborted || stream.destroyed || (stream.rstCode ?? 0) !== 0) {
    throw new SdkError("sdk-ui-body-truncated", "the request ended before its body did");
  }
  return Buffer.concat(chunks);
}

/**
 * Writes chunks with back-pressure and ends the response; stops early when the other side went away.
 */
export async function sendChunks(
  response: UiResponse,
  chunks: Iterable<string> | AsyncIterable<string>,
): Promise<void> {
  for await (const chunk of chunks) {
    if (response.stream.destroyed) return;
    if (response.write(chunk)) continue;
    const { promise, resolve } = Promise.withResolvers<void>();
    response.once("drain", resolve);
    response.stream.once("close", resolve);
    await promise;
    response.off("drain", resolve);
    response.stream.off("close", resolve);
  }
  response.end();
}
