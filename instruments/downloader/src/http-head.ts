/**
 * The heads of requests and answers: validators, ranges, and whether what is announced is taken (RFC 9110, RFC 9111).
 * Pure.
 *
 * Invariants: only a strong validator lets a fetch go on where it was cut; what is announced is believed only where it
 * is a reason to refuse.
 */
import type { IncomingHttpHeaders } from "node:http";
import { Problem } from "./problem.ts";

/** What says which version an answer is, for the next request of the same address. */
export interface Validators {
  readonly url: string;
  readonly etag: string | null;
  readonly lastModified: string | null;
}

/** The beginning of an answer that was cut. */
export interface CutAnswer {
  readonly url: string;
  /** For If-Range: a strong ETag or a date that is as good. */
  readonly validator: string;
  readonly bytes: number;
}

/** RFC 9110 section 8.8.2.2 has one second; servers' clocks and file systems are coarser. */
const DATE_IS_STRONG_AFTER_MS = 60_000;

export function requestHeaders(
  url: URL,
  validators: Validators | null,
  partial: CutAnswer | null,
): Readonly<Record<string, string>> {
  const common = { accept: "*/*", "accept-encoding": "identity", "user-agent": "bulkhead-downloader" };
  if (partial?.url === url.href) {
    return { ...common, range: `bytes=${partial.bytes}-`, "if-range": partial.validator };
  }
  if (validators?.url !== url.href) return common;
  return {
    ...common,
    ...(validators.etag === null ? {} : { "if-none-match": validators.etag }),
    ...(validators.lastModified === null ? {} : { "if-modified-since": validators.lastModified }),
  };
}

export function validatorsOf(url: URL, headers: IncomingHttpHeaders): Validators {
  const { etag, "last-modified": lastModified } = headers;
  return {
    url: url.href,
    etag: etag !== undefined && /^(W\/)?"[\x21\x23-\x7e]*"$/.test(etag) ? etag : null,
    lastModified:
      lastModified !== undefined && lastModified.length < 60 && !Number.isNaN(Date.parse(lastModified))
        ? lastModified
        : null,
  };
}

/** For If-Range (RFC 9110 section 13.1.5), or null where the answer cannot be gone on with. */
export function strongValidator(validators: Validators, date: string | undefined): string | null {
  if (validators.etag !== null) return validators.etag.startsWith("W/") ? null : validators.etag;
  if (validators.lastModified === null || date === undefined) return null;
  const ageMs = Date.parse(date) - Date.parse(validators.lastModified);
  return ageMs >= DATE_IS_STRONG_AFTER_MS ? validators.lastModified : null;
}

/** `bytes 5-9/10` → its numbers; null for anything else. RFC 9110 section 14.4. */
export function parseContentRange(text: string | undefined): { from: number; total: number | null } | null {
  const parts = /^bytes (\d{1,15})-(\d{1,15})\/(\d{1,15}|\*)$/.exec(text ?? "");
  if (parts === null) return null;
  const [from, to] = [Number(parts[1]), Number(parts[2])];
  const total = parts[3] === "*" ? null : Number(parts[3]);
  if (to < from || (total !== null && to + 1 !== total)) return null;
  return { from, total };
}

/** Seconds or a date (RFC 9110 section 10.2.3) → milliseconds from now; null where there is none. */
export function retryAfterMs(text: string | undefined, nowMs: number): number | null {
  if (text === undefined) return null;
  if (/^\d{1,9}$/.test(text)) return Number(text) * 1000;
  const atMs = Date.parse(text);
  return Number.isNaN(atMs) ? null : Math.max(0, atMs - nowMs);
}

/** `text/plain; charset=utf-8` → `text/plain`; null where none is named. */
export function mediaTypeOf(headers: IncomingHttpHeaders): string | null {
  const type = headers["content-type"]?.split(";")[0]?.trim().toLowerCase() ?? "";
  return /^[a-z0-9][a-z0-9.+-]*\/[a-z0-9][a-z0-9.+-]*$/.test(type) && type.length <= 100 ? type : null;
}

export interface Wanted {
  readonly maxBytes: number;
  readonly contentTypes?: readonly string[] | undefined;
  /** Its end has to be told by a length or by chunks: nothing else would tell that it was cut. */
  readonly lengthNeeded: boolean;
}

/**
 * Whether an answer with a body is taken, by its head; `alreadyBytes` came before it.
 * @throws Problem `content-encoding`, `content-type`, `too-large`, `length-unknown`
 */
export function judgeHead(headers: IncomingHttpHeaders, wanted: Wanted, alreadyBytes: number): void {
  const encoding = headers["content-encoding"] ?? "identity";
  if (encoding !== "identity") {
    throw new Problem("content-encoding", `it comes encoded as ${shown(encoding)}, which was not asked for`);
  }
  const type = mediaTypeOf(headers);
  if (wanted.contentTypes !== undefined && (type === null || !wanted.contentTypes.includes(type))) {
    const given = headers["content-type"];
    throw new Problem(
      "content-type",
      `it is ${given === undefined ? "of no type" : shown(given)}, not ${wanted.contentTypes.join(" or ")}`,
    );
  }
  const length = headers["content-length"];
  if (length !== undefined && Number(length) + alreadyBytes > wanted.maxBytes) {
    throw new Problem(
      "too-large",
      `${shown(length)} bytes are announced; at most ${wanted.maxBytes} are taken`,
    );
  }
  if (wanted.lengthNeeded && length === undefined && headers["transfer-encoding"] === undefined) {
    throw new Problem(
      "length-unknown",
      "nothing tells where it ends, and nothing else would tell that it was cut",
    );
  }
}

/** A stranger's words, for a log line. */
function shown(text: string): string {
  return JSON.stringify(text.slice(0, 60));
}
