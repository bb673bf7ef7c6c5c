/**
 * Problems: what a caller is told when a request fails, as RFC 9457 problem details with our own
 * stable code. An error that is not ours is told as such and no more: its text may hold anything.
 */
import type { Problem } from "@bulkhead/schema";
import { isSensordError, type SensordErrorCode, SensordError } from "../error.ts";

/** HTTP status of each code that callers meet; others of ours are 500. */
const STATUS: Readonly<Record<string, number>> = {
  "request-invalid": 400,
  "ui-path-refused": 400,
  "caller-unknown": 401,
  "not-permitted": 403,
  "ui-denied": 403,
  "route-unknown": 404,
  "unknown-instrument": 404,
  "ui-not-granted": 404,
  "audit-entry-absent": 404,
  "ui-method-refused": 405,
  "site-absent": 409,
  "request-too-large": 413,
  "site-faults": 422,
  "warden-reply-invalid": 502,
  "ui-reply-invalid": 502,
  "vault-locked": 503,
  "warden-unreachable": 503,
  "audit-behind": 503,
  "bus-broker-unreachable": 503,
  "ui-away": 503,
  "ui-busy": 503,
  "warden-timeout": 504,
  "ui-late": 504,
};

/** A problem to be answered; `extra` members stand beside the standard ones. */
export class ProblemError extends SensordError {
  readonly status: number;
  readonly extra: Readonly<Record<string, unknown>>;

  constructor(
    code: SensordErrorCode,
    message: string,
    options: { readonly status?: number; readonly extra?: Readonly<Record<string, unknown>> } = {},
  ) {
    super(code, message);
    this.status = options.status ?? STATUS[code] ?? 500;
    this.extra = options.extra ?? {};
  }
}

export function problemOf(error: unknown): Problem {
  if (error instanceof ProblemError) {
    return { ...problem(error.code, error.status, error.message), ...error.extra };
  }
  if (isSensordError(error)) return problem(error.code, statusOf(error), error.message);
  const status = frameworkStatus(error);
  if (status === 413) return problem("request-too-large", 413, "the body is too large");
  if (status !== null && status < 500) {
    // The framework's own refusals name the place in the request and hold nothing else.
    const text = error instanceof Error ? error.message : "";
    return problem("request-invalid", status === 415 ? 415 : 400, text.slice(0, 2000));
  }
  return problem("unexpected-error", 500, "sensord met an error that it did not expect; see its log");
}

/** warden's own refusals keep the status that it gave them. */
function statusOf(error: SensordError): number {
  const known = STATUS[error.code];
  const own = error.fields["status"];
  if (known !== undefined) return known;
  return typeof own === "number" && own >= 400 && own < 600 ? own : 500;
}

function problem(code: string, status: number, detail: string): Problem {
  return { type: `urn:bulkhead:problem:${code}`, title: titleOf(code), status, detail, code };
}

/** `ui-away` → `Ui away`: the code in words; what happened is in `detail`. */
function titleOf(code: string): string {
  const words = code.replaceAll("-", " ");
  return `${words.charAt(0).toUpperCase()}${words.slice(1)}`;
}

function frameworkStatus(error: unknown): number | null {
  const status = error instanceof Error && "statusCode" in error ? error.statusCode : null;
  return typeof status === "number" ? status : null;
}
