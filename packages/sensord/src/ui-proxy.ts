/**
 * UI proxy: carries one HTTP request of a caller to an instrument's UI and its response back, as
 * streams with back-pressure both ways.
 *
 * Invariants: whoever may not, was turned away before this. A body that did not come whole is
 * never made to look whole: the other side's stream is reset or its connection destroyed. Nothing
 * of what passes is kept; the outcome holds counts alone.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { ClientHttp2Stream, IncomingHttpHeaders, IncomingHttpStatusHeader } from "node:http2";
import type { Caller, Name } from "@bulkhead/schema";
import { SensordError } from "./error.ts";
import { requestHeaders, responseHeaders } from "./ui-headers.ts";
import type { UiSession } from "./ui-session.ts";

const METHODS = new Set(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]);
const MAX_PATH_CHARS = 8192;

export interface UiExchange {
  readonly caller: Caller;
  readonly instrument: Name;
  /** Path and query for the instrument. */
  readonly path: string;
  /** Where the instrument's root lies in our paths. */
  readonly prefix: string;
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly headWithinMs: number;
}

export interface UiOutcome {
  readonly status: number;
  /** `truncated`: the instrument did not finish; `aborted`: the caller did not wait. */
  readonly end: "whole" | "truncated" | "aborted";
  readonly sentBytes: number;
  readonly receivedBytes: number;
}

/**
 * Throws before anything was answered: `ui-away`, `ui-busy`, `ui-method-refused`,
 * `ui-path-refused`, `ui-late` (no head in time), `ui-reply-invalid`. Afterwards it never throws.
 */
export async function proxyUi(session: UiSession, exchange: UiExchange): Promise<UiOutcome> {
  const { request, response, instrument, caller, path } = exchange;
  const method = request.method ?? "";
  if (!METHODS.has(method)) {
    throw new SensordError("ui-method-refused", "this method does not pass to a UI");
  }
  // Printable ASCII without spaces is all that a request target may hold (RFC 9112, section 3.2).
  if (path.length > MAX_PATH_CHARS || !/^\/[\x21-\x7e]*$/.test(path)) {
    throw new SensordError("ui-path-refused", "this path does not pass to a UI");
  }
  const bodyless = !hasBody(request);
  const headers = requestHeaders({ method, path, instrument, caller, headers: request.headers });
  const stream = session.request(headers, bodyless);
  const head = awaitHead(stream, exchange.headWithinMs);
  const gone = watchCaller(session, stream, response);
  const upload = bodyless ? noUpload() : sendBody(session, stream, request);
  try {
    const received = await head;
    const { bytes, whole } = await relay(session, stream, received, exchange);
    const failed = gone.aborted ? "aborted" : "truncated";
    const end = whole ? "whole" : failed;
    return { status: statusOf(received), end, sentBytes: upload.bytes, receivedBytes: bytes };
  } catch (error) {
    session.abandon(stream, "the request was given up");
    // The status that logs of HTTP servers use for this; nobody receives it.
    if (gone.aborted) {
      return { status: 499, end: "aborted", sentBytes: upload.bytes, receivedBytes: 0 };
    }
    throw error;
  }
}

type ResponseHead = IncomingHttpHeaders & IncomingHttpStatusHeader;

function hasBody({ headers }: IncomingMessage): boolean {
  return (
    headers["transfer-encoding"] !== undefined ||
    (headers["content-length"] !== undefined && headers["content-length"] !== "0")
  );
}

/** The final head; interim ones (1xx) are another event in Node and pass by. */
function awaitHead(stream: ClientHttp2Stream, withinMs: number): Promise<ResponseHead> {
  const head = Promise.withResolvers<ResponseHead>();
  const late = setTimeout(
    () => head.reject(new SensordError("ui-late", "the instrument's UI did not answer in time")),
    withinMs,
  );
  const fail = (cause?: Error): void =>
    head.reject(new SensordError("ui-reply-invalid", "the instrument's UI gave no answer", { cause }));
  stream.once("response", (headers) => head.resolve(headers));
  stream.on("error", fail);
  stream.once("close", () => fail());
  return head.promise.finally(() => clearTimeout(late));
}

/** Gives the stream up when the caller's connection ends before its response does. */
function watchCaller(
  session: UiSession,
  stream: ClientHttp2Stream,
  response: ServerResponse,
): { aborted: boolean } {
  const state = { aborted: false };
  response.once("close", () => {
    if (response.writableFinished) return;
    state.aborted = true;
    session.abandon(stream, "the caller went away");
  });
  return state;
}

function noUpload(): { bytes: number } {
  return { bytes: 0 };
}

function sendBody(
  session: UiSession,
  stream: ClientHttp2Stream,
  request: IncomingMessage,
): { bytes: number } {
  const state = { bytes: 0 };
  request.on("data", (chunk: Buffer) => {
    state.bytes += chunk.length;
  });
  request.pipe(stream, { end: false });
  request.once("end", () => stream.end());
  request.once("close", () => {
    if (!request.complete) session.abandon(stream, "the caller's body broke off");
  });
  return state;
}

async function relay(
  session: UiSession,
  stream: ClientHttp2Stream,
  head: ResponseHead,
  { response, prefix }: UiExchange,
): Promise<{ readonly bytes: number; readonly whole: boolean }> {
  const status = statusOf(head);
  if (status < 200 || status > 599) {
    throw new SensordError("ui-reply-invalid", `the instrument's UI answered with status ${status}`);
  }
  try {
    response.writeHead(status, responseHeaders(head, prefix));
  } catch (cause) {
    throw new SensordError("ui-reply-invalid", "the instrument's UI sent a bad header", { cause });
  }
  response.flushHeaders();
  let bytes = 0;
  const done = Promise.withResolvers<boolean>();
  stream.on("data", (chunk: Buffer) => {
    bytes += chunk.length;
    if (!response.write(chunk)) stream.pause();
  });
  response.on("drain", () => stream.resume());
  // Node also emits `end` when the stream was reset or the session died.
  stream.once("end", () => done.resolve(!stream.destroyed && (stream.rstCode ?? 0) === 0));
  stream.once("close", () => done.resolve(false));
  response.once("close", () => done.resolve(response.writableFinished));
  stream.resume();
  const whole = (await done.promise) && lengthFits(head, bytes, response);
  if (whole) response.end();
  else response.destroy();
  if (!whole) session.abandon(stream, "the response was given up");
  return { bytes, whole };
}

/** A declared length that is not met is a truncation too. */
function lengthFits(head: ResponseHead, bytes: number, response: ServerResponse): boolean {
  const declared = head["content-length"];
  const bare = response.req.method === "HEAD" || statusOf(head) === 304;
  return declared === undefined || bare || Number(declared) === bytes;
}

function statusOf(head: ResponseHead): number {
  return head[":status"] ?? 0;
}
