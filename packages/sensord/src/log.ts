/**
 * Log: one JSON line for each thing that happened, to a stream (stderr in the process).
 *
 * Invariants: only printable facts are written; an error is shown as its code, message and the
 * messages of its causes, never with payloads, headers or credentials.
 */
import type { Writable } from "node:stream";
import { isSensordError } from "./error.ts";

export type LogFields = Readonly<Record<string, string | number | boolean | null>>;

export interface Log {
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
}

export function makeLog(out: Writable, now: () => Date = () => new Date()): Log {
  const write = (level: string, message: string, fields: LogFields = {}): void => {
    out.write(`${JSON.stringify({ time: now().toISOString(), level, message, ...fields })}\n`);
  };
  return {
    info: (message, fields) => write("info", message, fields),
    warn: (message, fields) => write("warn", message, fields),
    error: (message, fields) => write("error", message, fields),
  };
}

/** For unit tests and one-off tools. */
export const SILENT: Log = { info: () => {}, warn: () => {}, error: () => {} };

/** What may be printed of a failure: `{ error, code?, cause? }`. */
export function describeError(error: unknown): LogFields {
  if (!(error instanceof Error)) return { error: "something that is not an error was thrown" };
  const code = isSensordError(error) ? { code: error.code } : codeOf(error);
  const cause = error.cause instanceof Error ? { cause: error.cause.message } : {};
  return { error: error.message, ...code, ...cause };
}

function codeOf(error: Error): LogFields {
  return "code" in error && typeof error.code === "string" ? { code: error.code } : {};
}
