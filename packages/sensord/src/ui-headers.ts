/**
 * UI headers: what may pass between a caller and an instrument's UI, by allow-list both ways, and
 * what is forced. Everything else (cookies, credentials, forwarding, CORS, push of other origins)
 * is dropped: an instrument's UI is hostile until proven otherwise. Pure.
 */
import type { IncomingHttpHeaders as Http1Headers } from "node:http";
import type { IncomingHttpHeaders, OutgoingHttpHeaders } from "node:http2";
import type { Caller, Name } from "@bulkhead/schema";

/** Headers that tell an instrument who asks; a caller's own are never passed on. */
const USER_HEADER = "bulkhead-user";
const ROLE_HEADER = "bulkhead-role";

const REQUEST_HEADERS = [
  "accept",
  "accept-encoding",
  "accept-language",
  "cache-control",
  "content-encoding",
  "content-language",
  "content-length",
  "content-type",
  "if-match",
  "if-modified-since",
  "if-none-match",
  "if-range",
  "if-unmodified-since",
  "last-event-id",
  "range",
  "user-agent",
] as const;

const RESPONSE_HEADERS = [
  "accept-ranges",
  "allow",
  "content-disposition",
  "content-encoding",
  "content-language",
  "content-length",
  "content-range",
  "content-type",
  "etag",
  "last-modified",
  "retry-after",
  "vary",
] as const;

export interface UiRequestHead {
  readonly method: string;
  /** Path and query as the instrument shall see them; begins with a slash. */
  readonly path: string;
  readonly instrument: Name;
  readonly caller: Caller;
  readonly headers: Http1Headers;
}

export function requestHeaders({
  method,
  path,
  instrument,
  caller,
  headers,
}: UiRequestHead): OutgoingHttpHeaders {
  return {
    ":method": method,
    ":path": path,
    ":scheme": "http",
    ":authority": instrument,
    ...pick(headers, REQUEST_HEADERS),
    [USER_HEADER]: caller.subject,
    [ROLE_HEADER]: caller.role,
  };
}

/** `prefix` is where the instrument's root lies in our paths: `/api/v1/instruments/ids/ui`. */
export function responseHeaders(
  headers: IncomingHttpHeaders,
  prefix: string,
): Readonly<Record<string, string>> {
  const location = headers.location;
  return {
    ...pick(headers, RESPONSE_HEADERS),
    // Only a path of its own: `//host` and `/\host` would lead elsewhere.
    ...(location !== undefined && /^\/(?![/\\])/.test(location) ? { location: `${prefix}${location}` } : {}),
    "x-content-type-options": "nosniff",
    "cache-control": "no-store",
  };
}

function pick(headers: Http1Headers | IncomingHttpHeaders, names: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    names.flatMap((name) => {
      const value = headers[name];
      return typeof value === "string" ? [[name, value]] : [];
    }),
  );
}
