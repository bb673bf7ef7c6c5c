/** Stable codes of the CLI's own; each stands in docs/errors.md. */
type CliErrorCode =
  | "bad-answer"
  | "demo-config-refused"
  | "demo-nothing-seen"
  | "demo-site-refused"
  | "file-unreadable"
  | "needs-root"
  | "no-such-instrument"
  | "not-permitted"
  | "not-running"
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
