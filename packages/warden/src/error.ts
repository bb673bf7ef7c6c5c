/**
 * The one error class of warden.
 *
 * Invariants: every failed operation carries a stable `code` that stands in docs/errors.md; `fields` are printable
 * facts (names, numbers, a tool's own message) and never secrets; the reason is kept as `cause`.
 * It is not used for expected outcomes: those are return unions.
 */

/** A stable code in kebab-case, for example `datapath-filter-too-long`. */
export type WardenErrorCode = `${string}-${string}`;

/** What is known about a failure, printable as JSON. */
export type WardenErrorFields = Readonly<Record<string, string | number | boolean | null>>;

/** An operation of warden that failed. */
export class WardenError extends Error {
  override readonly name = "WardenError";
  readonly code: WardenErrorCode;
  readonly fields: WardenErrorFields;

  constructor(
    code: WardenErrorCode,
    message: string,
    options: { readonly fields?: WardenErrorFields; readonly cause?: unknown } = {},
  ) {
    super(message, "cause" in options ? { cause: options.cause } : undefined);
    this.code = code;
    this.fields = options.fields ?? {};
  }
}

/** True if `error` is a WardenError, of this code if one is given. */
export function isWardenError(error: unknown, code?: WardenErrorCode): error is WardenError {
  return error instanceof WardenError && (code === undefined || error.code === code);
}
