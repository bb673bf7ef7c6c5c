/**
 * Problem: why a run brought nothing new, or an import was not taken.
 *
 * Two kinds: what `failed` may go better the next time (the host is away); what was `refused` came, and is not taken
 * as it is. README.md has words for each reason, and a test holds the two together.
 */

export const FAILURES = [
  "egress-refused",
  "connection",
  "pin",
  "timeout",
  "cut",
  "status",
  "storage",
  "stopped",
] as const;
export const REFUSALS = [
  "redirect",
  "too-large",
  "empty",
  "length-unknown",
  "content-type",
  "content-encoding",
  "checksum",
  "signature",
  "older",
  "archive",
  "bundle",
] as const;

export type FailureReason = (typeof FAILURES)[number];
export type RefusalReason = (typeof REFUSALS)[number];
export type ProblemReason = FailureReason | RefusalReason;

/** Thrown inside of a run and caught at its end, where it becomes the run's outcome. */
export class Problem extends Error {
  override readonly name = "Problem";
  readonly reason: ProblemReason;
  /** The host asks not to come back sooner. */
  readonly retryAfterMs: number | null;

  constructor(
    reason: ProblemReason,
    message: string,
    options: { readonly cause?: unknown; readonly retryAfterMs?: number | null } = {},
  ) {
    super(message, "cause" in options ? { cause: options.cause } : undefined);
    this.reason = reason;
    this.retryAfterMs = options.retryAfterMs ?? null;
  }

  get kind(): "failed" | "refused" {
    return (REFUSALS as readonly string[]).includes(this.reason) ? "refused" : "failed";
  }
}
