/**
 * One HTTP request in the clear, forwarded to a granted `http://host:port`: parsed and written anew by Node, so that
 * what goes out is one request and not two. Hop-by-hop fields (RFC 9110 section 7.6.1) stay here.
 */
import { type IncomingMessage, request as httpRequest, type ServerResponse } from "node:http";
import type { Socket } from "node:net";
import { pipeline } from "node:stream/promises";
import { type EgressReason, parseHostName, type ParsedTarget } from "@bulkhead/schema";
import type { RelayEnd, RelayLimits } from "./relay.ts";

const METHODS: readonly string[] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
const HOP_BY_HOP: ReadonlySet<string> = new Set([
  "connection",
  "expect",
  "host",
  "http2-settings",
  "keep-alive",
  "proxy-authenticate",
  "proxy-authorization",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);

export type HttpRequestReading =
  | { readonly outcome: "target"; readonly target: ParsedTarget; readonly path: string }
  | { readonly outcome: "refused"; readonly reason: EgressReason };

/** What a request in absolute form (RFC 9112 section 3.2.2) asks for. */
export function readHttpRequest({
  method,
  url,
  headers,
}: Pick<IncomingMessage, "method" | "url" | "headers">): HttpRequestReading {
  if (!METHODS.includes(method ?? "")) return { outcome: "refused", reason: "method-refused" };
  const parts = /^http:\/\/(?<host>[^/?#@:]+)(?::(?<port>[1-9][0-9]{0,4}))?(?<path>[/?].*)?$/i.exec(
    url ?? "",
  )?.groups;
  const host = parseHostName(parts?.["host"] ?? "");
  const port = Number(parts?.["port"] ?? 80);
  if (parts === undefined || host === null || port > 65_535)
    return { outcome: "refused", reason: "request-invalid" };
  const path = parts["path"] ?? "/";
  const named = headers.host?.toLowerCase();
  if (named !== `${host}:${port}` && !(port === 80 && named === host)) {
    return { outcome: "refused", reason: "host-header-differs" };
  }
  return {
    outcome: "target",
    target: { scheme: "http", host, port },
    path: path.startsWith("?") ? `/${path}` : path,
  };
}

/** Forwards it over `socket`, which it uses up. */
export async function forwardHttp(
  request: IncomingMessage,
  response: ServerResponse,
  ask: Extract<HttpRequestReading, { outcome: "target" }>,
  socket: Socket,
  limits: RelayLimits,
): Promise<RelayEnd> {
  const { host, port } = ask.target;
  let reason: EgressReason | null = null;
  const stop = (why: EgressReason): void => {
    reason ??= why;
    socket.destroy();
    request.destroy();
  };
  const idle = setTimeout(() => stop("idle-timeout"), limits.idleMs);
  const watch = (): void => {
    idle.refresh();
    if (socket.bytesWritten > limits.sentBytes || socket.bytesRead > limits.receivedBytes)
      stop("bytes-exceeded");
  };
  const outgoing = httpRequest({
    createConnection: () => socket,
    method: request.method ?? "GET",
    path: ask.path,
    headers: {
      ...endToEnd(request.headers),
      host: port === 80 ? host : `${host}:${port}`,
      connection: "close",
    },
    setHost: false,
  });
  request.on("data", watch);
  const answered = new Promise<IncomingMessage>((resolve, reject) => {
    outgoing.once("response", resolve).once("error", reject);
    outgoing.once("close", () => reject(new Error("closed without a response")));
  });
  try {
    const [answer] = await Promise.all([answered, pipeline(request, outgoing)]);
    answer.on("data", watch);
    response.writeHead(answer.statusCode ?? 502, { ...endToEnd(answer.headers), connection: "close" });
    await pipeline(answer, response);
  } catch (error) {
    // Either side may go away at any time; the other learns it by its own connection's end.
    if (!(error instanceof Error)) throw error;
    if (response.headersSent) response.destroy();
    else response.writeHead(502, { connection: "close" }).end();
  } finally {
    clearTimeout(idle);
    socket.destroy();
  }
  return { sentBytes: socket.bytesWritten, receivedBytes: socket.bytesRead, reason };
}

function endToEnd(headers: IncomingMessage["headers"]): Record<string, string | string[]> {
  const named = new Set((headers.connection ?? "").split(",").map((name) => name.trim().toLowerCase()));
  return Object.fromEntries(
    Object.entries(headers).flatMap(([name, value]) =>
      value === undefined || HOP_BY_HOP.has(name) || named.has(name) ? [] : [[name, value]],
    ),
  );
}
