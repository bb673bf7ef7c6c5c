/** Stable codes of the CLI's own; each stands in docs/errors.md. */
type CliErrorCode =
  | "audit-absent"
  | "audit-key-missing"
  | "audit-key-unreadable"
  | "audit-no-export"
  | "bad-answer"
  | "control-unknown"
  | "bad-argument"
  | "demo-config-refused"
  | "demo-nothing-seen"
  | "demo-site-refused"
  | "file-unreadable"
  | "file-unwritable"
  | "folder-exists"
  | "name-taken"
  | "needs-root"
  | "no-such-instrument"
  | "not-confirmed"
  | "not-permitted"
  | "not-running"
  | "secret-differs"
  | "secret-empty"
  | "unknown-query";

/** The CLI's one error class: a stable code, words for a person, what to do next, and the exit code. */
export class CliError extends Error {
  override readonly name = "CliError";
  readonly code: string;
  readonly advice: string | null;
  readonly exitCode: number;

  /** `code`: one of ours, or that of a problem which the sensor answered. */
  constructor(
    code: CliErrorCode | (string & {}),
    message: string,
    options: { readonly advice?: string; readonly exitCode?: number; readonly cause?: unknown } = {},
  ) {
    super(message, { cause: options.cause });
    this.code = code;
    this.advice = options.advice ?? null;
    this.exitCode = options.exitCode ?? 1;
  }
}
