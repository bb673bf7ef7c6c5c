/**
 * The one error class of sensord.
 *
 * Invariants: every failed operation carries a stable `code` that stands in docs/errors.md;
 * `fields` are printable facts and never secrets; the reason is kept as `cause`.
 * It is not used for expected outcomes: those are return unions.
 */

/** Stable codes; each stands in docs/errors.md. */
export type SensordErrorCode =
  | "api-not-listening"
  | "api-socket-in-use"
  | "apply-failed"
  | "audit-behind"
  | "audit-entry-absent"
  | "bus-bad-answer"
  | "bus-broker-unreachable"
  | "bus-config-rejected"
  | "bus-emit-failed"
  | "bus-failed"
  | "bus-no-answer"
  | "bus-rules-not-taken"
  | "bus-stream-refused"
  | "caller-unknown"
  | "catalogue-unreadable"
  | "clock-differs"
  | "clock-implausible"
  | "grant-ignored"
  | "ledger-not-kept"
  | "ledger-unreadable"
  | "line-too-long"
  | "messages-behind"
  | "not-permitted"
  | "package-unreadable"
  | "request-invalid"
  | "request-too-large"
  | "resource-not-placed"
  | "resources-unreadable"
  | "retention-breach"
  | "retention-not-kept"
  | "retention-unreadable"
  | "route-unknown"
  | "settings-invalid"
  | "settings-unreadable"
  | "site-absent"
  | "site-faults"
  | "site-unreadable"
  | "ui-away"
  | "ui-busy"
  | "ui-denied"
  | "ui-late"
  | "ui-method-refused"
  | "ui-not-granted"
  | "ui-path-refused"
  | "ui-reply-invalid"
  | "unexpected-error"
  | "unknown-instrument"
  | "vault-locked"
  | "warden-refused"
  | "warden-reply-invalid"
  | "warden-timeout"
  | "warden-unreachable"
  | "wrong-user";

/** What is known about a failure, printable as JSON. */
export type SensordErrorFields = Readonly<Record<string, string | number | boolean | null>>;

/** An operation of sensord that failed. */
export class SensordError extends Error {
  override readonly name = "SensordError";
  readonly code: SensordErrorCode;
  readonly fields: SensordErrorFields;

  constructor(
    code: SensordErrorCode,
    message: string,
    options: { readonly fields?: SensordErrorFields; readonly cause?: unknown } = {},
  ) {
    super(message, "cause" in options ? { cause: options.cause } : undefined);
    this.code = code;
    this.fields = options.fields ?? {};
  }
}

/** True if `error` is a SensordError, of this code if one is given. */
export function isSensordError(error: unknown, code?: SensordErrorCode): error is SensordError {
  return error instanceof SensordError && (code === undefined || error.code === code);
}
