/**
 * The one error class of sensord.
 *
 * Invariants: every failed operation carries a stable `code` that stands in docs/errors.md;
 * `fields` are printable facts and never secrets; the reason is kept as `cause`.
 * It is not used for expected outcomes: those are return unions.
 */

/** A stable code in kebab-case, for example `warden-unreachable`. */
export type SensordErrorCode = `${string}-${string}`;

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
