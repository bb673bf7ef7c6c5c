/** Stable codes of verify; each stands in docs/errors.md. */
export type VerifyErrorCode =
  | "verify-answer-unreadable"
  | "verify-instrument-unknown"
  | "verify-key-missing"
  | "verify-relay-ended"
  | "verify-report-unreadable"
  | "verify-report-unwritable"
  | "verify-warden-refused"
  | "verify-warden-unreachable";

/** The one error class of verify. */
export class VerifyError extends Error {
  override readonly name = "VerifyError";
  readonly code: VerifyErrorCode;
  readonly advice: string;

  constructor(
    code: VerifyErrorCode,
    message: string,
    options: { readonly advice?: string; readonly cause?: unknown } = {},
  ) {
    super(message, "cause" in options ? { cause: options.cause } : undefined);
    this.code = code;
    this.advice = options.advice ?? "";
  }
}
