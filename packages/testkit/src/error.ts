/**
 * The one error class of the test kit.
 *
 * Invariants: every failed operation carries a stable `code` that stands in docs/errors.md; what a tool printed is
 * part of the message, the reason is kept as `cause`. Expected outcomes are return unions and never this.
 */

/** Stable codes, in kebab-case. */
export type TestkitErrorCode =
  | "testkit-command-failed"
  | "testkit-command-missing"
  | "testkit-bad-name"
  | "testkit-bad-argument"
  | "testkit-network-failed"
  | "testkit-host-failed"
  | "testkit-unknown-attack"
  | "testkit-compile-failed"
  | "testkit-tool-failed"
  | "testkit-suricata-failed";

/** An operation of the test kit that failed. */
export class TestkitError extends Error {
  override readonly name = "TestkitError";
  readonly code: TestkitErrorCode;

  constructor(code: TestkitErrorCode, message: string, options?: { readonly cause?: unknown }) {
    super(message, options);
    this.code = code;
  }
}
