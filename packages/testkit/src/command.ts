/**
 * Commands of the host: one program with an argv, awaited, its output returned.
 *
 * Invariants: never a shell; a non-zero exit is an exception that quotes what the program said. Long-lived programs
 * are not for this file: capture.ts, packet-tools.ts and demo-hosts.ts own theirs.
 */
import { execFile } from "node:child_process";
import { TestkitError } from "./error.ts";

export interface CommandOptions {
  readonly signal?: AbortSignal;
  /** Written to the program's stdin, which is then closed. */
  readonly input?: string;
  readonly timeoutMs?: number;
  readonly env?: Readonly<Record<string, string | undefined>>;
}

export interface CommandOutput {
  readonly stdout: string;
  readonly stderr: string;
}

/**
 * Runs `file` with `args` and returns what it printed.
 * @throws TestkitError `testkit-command-missing` if there is no such program, `testkit-command-failed` if it exits
 * with anything but 0, is killed, or takes longer than `timeoutMs` (30 s by default).
 */
export async function runCommand(
  file: string,
  args: readonly string[],
  options: CommandOptions = {},
): Promise<CommandOutput> {
  const { promise, resolve, reject } = Promise.withResolvers<CommandOutput>();
  const child = execFile(
    file,
    [...args],
    {
      encoding: "utf8",
      maxBuffer: 256 * 1024 * 1024,
      timeout: options.timeoutMs ?? 30_000,
      ...(options.signal === undefined ? {} : { signal: options.signal }),
      ...(options.env === undefined ? {} : { env: { ...process.env, ...options.env } }),
    },
    (cause, stdout, stderr) => {
      if (cause === null) resolve({ stdout, stderr });
      else reject(commandError(file, args, cause, stderr));
    },
  );
  // A program that exits without reading its input breaks the pipe; its exit code then tells what was wrong.
  child.stdin?.on("error", () => undefined);
  child.stdin?.end(options.input ?? "");
  return promise;
}

/**
 * Like runCommand, for reading what a tool knows: a program that is not installed or that refuses is `undefined`.
 */
export async function tryCommand(
  file: string,
  args: readonly string[],
  options: CommandOptions = {},
): Promise<string | undefined> {
  try {
    return (await runCommand(file, args, options)).stdout;
  } catch (error) {
    if (error instanceof TestkitError) return undefined;
    throw error;
  }
}

function commandError(
  file: string,
  args: readonly string[],
  cause: Error & { readonly code?: unknown },
  stderr: string,
): TestkitError {
  const line = [file, ...args].join(" ");
  if (cause.code === "ENOENT") {
    return new TestkitError("testkit-command-missing", `${file} is not installed`, { cause });
  }
  const said = stderr.trim() === "" ? cause.message : stderr.trim();
  return new TestkitError("testkit-command-failed", `${line}: ${said}`, { cause });
}
