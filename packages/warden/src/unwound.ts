/**
 * What a failed acquisition tells: an AsyncDisposableStack that fails while it undoes keeps the first error inside the
 * later one (SuppressedError, ECMAScript explicit resource management).
 */
import { isWardenError, type WardenErrorCode } from "./error.ts";

/** What failed first, and what failed while that was undone. */
export interface Unwound {
  /** Of the first error; null where it is not warden's own. */
  readonly code: WardenErrorCode | null;
  /** Both, in words. */
  readonly message: string;
  readonly cause: unknown;
}

export function unwound(error: unknown): Unwound {
  const errors = flatten(error);
  const [cause] = errors;
  const words = errors.map((one) => (one instanceof Error ? one.message : String(one)));
  return {
    code: isWardenError(cause) ? cause.code : null,
    message: words.join("; and when it was undone: "),
    cause,
  };
}

function flatten(error: unknown): readonly unknown[] {
  return error instanceof SuppressedError ? [...flatten(error.suppressed), error.error] : [error];
}
