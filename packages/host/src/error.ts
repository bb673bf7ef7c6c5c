/**
 * The one error class of the host package.
 *
 * Invariants: every failed operation carries a stable code that stands in docs/errors.md, and `advice`: what the
 * operator can do about it. The reason is kept as `cause`. Expected outcomes are return unions and never this.
 */

/** Stable codes, in kebab-case. */
export type HostErrorCode =
  | "host-account-foreign"
  | "host-backup-in-use"
  | "host-backup-no-volume"
  | "host-backup-unreadable"
  | "host-checks-failed"
  | "host-command-failed"
  | "host-command-missing"
  | "host-directory-foreign"
  | "host-lock-timeout"
  | "host-name-reserved"
  | "host-not-ready"
  | "host-not-root"
  | "host-not-set-up"
  | "host-packages-failed"
  | "host-packages-needed"
  | "host-pool-foreign"
  | "host-port-none"
  | "host-purge-failed"
  | "host-record-unreadable"
  | "host-restore-running"
  | "host-restore-used"
  | "host-runtime-other"
  | "host-runtime-refused"
  | "host-runtime-silent"
  | "host-runtime-unavailable"
  | "host-settings-unreadable"
  | "host-supervisor-failed"
  | "host-supervisor-missing"
  | "host-vault-refused"
  | "host-warden-refused";

/** An operation on the host that failed. */
export class HostError extends Error {
  override readonly name = "HostError";
  readonly code: HostErrorCode;
  /** What to do about it, one sentence. */
  readonly advice: string;

  constructor(
    code: HostErrorCode,
    message: string,
    options: { readonly advice: string; readonly cause?: unknown },
  ) {
    super(message, "cause" in options ? { cause: options.cause } : undefined);
    this.code = code;
    this.advice = options.advice;
  }
}

/** A printable message of anything that was thrown. */
export function errorMessage(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** The `code` of a system call's error, such as `ENOENT`; undefined for everything else. */
export function systemErrorCode(error: unknown): string | undefined {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : undefined;
}
