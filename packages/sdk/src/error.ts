/**
 * The one error class of the SDK.
 *
 * Invariants: every failed operation carries a stable `code` that stands in docs/errors.md; the
 * reason is kept as `cause`. Expected outcomes (a refused configuration, a bad rule) are return
 * unions and never this.
 */

/** Stable codes, in kebab-case. */
export type SdkErrorCode =
  | "sdk-no-name"
  | "sdk-welcome-invalid"
  | "sdk-bus-closed"
  | "sdk-egress-failed"
  | "sdk-egress-pin"
  | "sdk-egress-refused"
  | "sdk-egress-url"
  | "sdk-delivery-busy"
  | "sdk-delivery-failed"
  | "sdk-delivery-hash-differs"
  | "sdk-delivery-incomplete"
  | "sdk-delivery-interrupted"
  | "sdk-delivery-invalid"
  | "sdk-delivery-no-space"
  | "sdk-delivery-not-declared"
  | "sdk-delivery-oversized"
  | "sdk-delivery-quota"
  | "sdk-delivery-stalled"
  | "sdk-delivery-too-large"
  | "sdk-find-failed"
  | "sdk-find-refused"
  | "sdk-message-answer-invalid"
  | "sdk-message-busy"
  | "sdk-message-failed"
  | "sdk-message-interrupted"
  | "sdk-message-invalid"
  | "sdk-message-late"
  | "sdk-message-no-handler"
  | "sdk-message-not-granted"
  | "sdk-message-not-running"
  | "sdk-message-not-sent"
  | "sdk-message-revoked"
  | "sdk-publisher-closed"
  | "sdk-event-invalid"
  | "sdk-child-start-failed"
  | "sdk-ui-body-too-large"
  | "sdk-ui-body-truncated"
  | "sdk-file-name-unsafe"
  | "sdk-line-source-failed";

/** An operation of the SDK that failed. */
export class SdkError extends Error {
  override readonly name = "SdkError";
  readonly code: SdkErrorCode;

  constructor(code: SdkErrorCode, message: string, options?: { readonly cause?: unknown }) {
    super(message, options);
    this.code = code;
  }
}

/** What went wrong, in one line, for logs and health. */
export function errorText(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
