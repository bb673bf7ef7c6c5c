/**
 * The port through which warden runs programs of the host, and its real implementation.
 *
 * Invariants: a command is an argument vector, never a shell string; the environment is fixed (PATH, LC_ALL=C), so
 * that messages can be read by code and nothing of the caller's environment reaches a root process; every command
 * ends by a deadline. It does not retry and does not interpret output.
 */
import { execFile } from "node:child_process";
import { WardenError } from "./error.ts";

/** How one command is run. */
export interface RunOptions {
  /** Written to the command's stdin, which is then closed. Without it stdin is empty. */
  readonly input?: string | Uint8Array;
  /** Killed with SIGKILL after this many milliseconds; 30000 by default. */
  readonly timeoutMs?: number;
  /** Kills the command when aborted. */
  readonly signal?: AbortSignal;
}

/** Runs programs; the tests of pure code give a fake, everything else the real one. */
export interface Commands {
  /**
   * Runs `argv[0]` with the rest as its arguments and waits for exit code 0.
   *
   * @throws WardenError `command-failed` {argv, exitCode, stderr}, `command-timeout`, `command-missing`,
   *   `command-aborted`
   */
  run(argv: readonly string[], options?: RunOptions): Promise<{ readonly stdout: string }>;
}

/** The whole environment of a program that warden runs. */
export const PROGRAM_ENVIRONMENT = { PATH: "/usr/sbin:/usr/bin:/sbin:/bin", LC_ALL: "C" } as const;
const defaultTimeoutMs = 30_000;
/** A listing of every qdisc of a host with many namespaces is far below this. */
const outputLimitBytes = 32 * 1024 * 1024;

/** The real port, by execFile. */
export function hostCommands(): Commands {
  return {
    run(argv, options = {}) {
      const { promise, resolve, reject } = Promise.withResolvers<{ readonly stdout: string }>();
      const [file, ...args] = argv;
      if (file === undefined) {
        throw new WardenError("command-missing", "an empty argument vector cannot be run");
      }
      const timeoutMs = options.timeoutMs ?? defaultTimeoutMs;
      const settings = {
        env: PROGRAM_ENVIRONMENT,
        cwd: "/",
        encoding: "utf8",
        maxBuffer: outputLimitBytes,
        timeout: timeoutMs,
        killSignal: "SIGKILL",
        ...(options.signal ? { signal: options.signal } : {}),
      } as const;
      const child = execFile(file, args, settings, (error, stdout, stderr) => {
        if (error) reject(failure(argv, error, stderr, timeoutMs));
        else resolve({ stdout });
      });
      // A command that ends without reading its input is judged by its exit code, not by the broken pipe.
      child.stdin?.on("error", () => undefined);
      child.stdin?.end(options.input ?? "");
      return promise;
    },
  };
}

function failure(
  argv: readonly string[],
  error: Error & { readonly code?: string | number | null; readonly killed?: boolean },
  stderr: string,
  timeoutMs: number,
): WardenError {
  const command = argv.join(" ");
  const fields = { argv: command, stderr: stderr.trim() };
  if (error.code === "ENOENT") {
    return new WardenError("command-missing", `${argv[0]} is not installed`, {
      fields,
      cause: error,
    });
  }
  if (error.name === "AbortError") {
    return new WardenError("command-aborted", `${command}: aborted`, { fields, cause: error });
  }
  if (error.killed === true) {
    return new WardenError("command-timeout", `${command}: no end within ${timeoutMs} ms`, {
      fields,
      cause: error,
    });
  }
  const exitCode = typeof error.code === "number" ? error.code : null;
  const reason = stderr.trim() || `exit code ${error.code ?? "unknown"}`;
  return new WardenError("command-failed", `${command}: ${reason}`, {
    fields: { ...fields, exitCode },
    cause: error,
  });
}
