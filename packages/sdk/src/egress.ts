/**
 * Requests to the outside, through the platform's egress proxy: the one way out of an instrument without a network
 * interface. `https://` goes in TLS from here to the host, which the proxy cannot read; `http://` only where the site
 * names the host so.
 *
 * Redirects are answers like any other: whoever follows one makes a new request, which is judged anew.
 */
import { createHash } from "node:crypto";
import { once } from "node:events";
import { type IncomingMessage, request as httpRequest } from "node:http";
import type { Socket } from "node:net";
import { connect as connectTls, type TLSSocket } from "node:tls";
import { SdkError } from "./error.ts";

export const EGRESS_SOCKET = "/run/bulkhead/egress.sock";

export interface EgressRequest {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array;
  /** Certificates (PEM) to trust in place of Node's own. */
  readonly ca?: string;
  /** SHA-256 hashes (base64) of public keys, as in RFC 7469: the host's has to be one of them, too. */
  readonly pins?: readonly string[];
  readonly signal?: AbortSignal;
  /** Another socket than the platform's; for tests. */
  readonly socketPath?: string;
}

/**
 * The response, its body yet to be read.
 * @throws SdkError `sdk-egress-refused` with the proxy's reason, `sdk-egress-failed`, `sdk-egress-pin`; `sdk-egress-url`
 * for another scheme, or for pins without TLS
 */
export async function requestThroughEgress(url: URL, options: EgressRequest = {}): Promise<IncomingMessage> {
  if (url.protocol !== "https:" && url.protocol !== "http:") {
    throw new SdkError("sdk-egress-url", `${url.protocol} cannot be requested: https: or http:`);
  }
  if (url.protocol === "http:" && options.pins !== undefined) {
    throw new SdkError("sdk-egress-url", `${url.host}: without TLS there is no key to hold against the pins`);
  }
  try {
    const response = await send(url, options);
    // Only the proxy itself answers a request in the clear; in TLS nobody but the host can.
    const reason = url.protocol === "http:" ? response.headers["x-bulkhead-refused"] : undefined;
    if (typeof reason !== "string") return response;
    response.destroy();
    throw refusal(url, reason);
  } catch (cause) {
    if (cause instanceof SdkError) throw cause;
    const words = cause instanceof Error ? cause.message : String(cause);
    throw new SdkError("sdk-egress-failed", `${url.host}: ${words}`, { cause });
  }
}

async function send(url: URL, options: EgressRequest): Promise<IncomingMessage> {
  const { method = "GET", headers = {}, body, signal, socketPath = EGRESS_SOCKET } = options;
  const common = {
    method,
    headers: { ...headers, host: url.host },
    ...(signal === undefined ? {} : { signal }),
  };
  const secure = url.protocol === "https:" ? await openTls(url, options) : null;
  const request =
    secure === null
      ? httpRequest({
          ...common,
          socketPath,
          path: `${url.origin}${url.pathname}${url.search}`,
          agent: false,
        })
      : httpRequest({ ...common, path: `${url.pathname}${url.search}`, createConnection: () => secure });
  // What goes wrong behind the response is the response's to tell.
  request.on("error", () => undefined);
  request.end(body);
  // The promise of `once` rejects with the request's error.
  const [response] = (await once(request, "response")) as [IncomingMessage];
  return response;
}

async function openTls(
  url: URL,
  { ca, pins, signal, socketPath = EGRESS_SOCKET }: EgressRequest,
): Promise<TLSSocket> {
  const authority = `${url.hostname}:${url.port === "" ? "443" : url.port}`;
  const request = httpRequest({
    socketPath,
    method: "CONNECT",
    path: authority,
    headers: { host: authority },
    agent: false,
    ...(signal === undefined ? {} : { signal }),
  });
  request.end();
  const [response, socket] = (await once(request, "connect")) as [IncomingMessage, Socket];
  if (response.statusCode !== 200) {
    socket.destroy();
    const reason = response.headers["x-bulkhead-refused"];
    throw refusal(url, typeof reason === "string" ? reason : `status ${response.statusCode}`);
  }
  const tls = connectTls({ socket, servername: url.hostname, ...(ca === undefined ? {} : { ca }) });
  // Its end says so too; an error that comes when nobody waits for one must not end the process.
  for (const each of [socket, tls]) each.on("error", () => undefined);
  try {
    await once(tls, "secureConnect", signal === undefined ? {} : { signal });
    if (pins !== undefined) requirePin(url, tls, pins);
  } catch (error) {
    tls.destroy();
    throw error;
  }
  return tls;
}

/** Before a byte of the request is sent. */
function requirePin(url: URL, tls: TLSSocket, pins: readonly string[]): void {
  const key = tls.getPeerX509Certificate()?.publicKey.export({ format: "der", type: "spki" });
  const pin = key === undefined ? "" : createHash("sha256").update(key).digest("base64");
  if (pins.includes(pin)) return;
  throw new SdkError("sdk-egress-pin", `${url.host} has another key than those that are pinned: ${pin}`);
}

function refusal(url: URL, reason: string): SdkError {
  return new SdkError(
    "sdk-egress-refused",
    `the platform's proxy does not let ${url.host} be reached: ${reason}`,
  );
}
