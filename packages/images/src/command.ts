/**
 * One way to run a program: an argv (never a shell string), a fixed locale, cancellation, and a
 * coded fault that carries the end of what the program said.
 *
 * Output is collected in memory: the programs here print lists and progress, never images.
 */
import { spawn } from "node:child_process";
import { ImageFault } from "./image-fault.ts";

/** Told what is going on during steps that take seconds. */
export type OnProgress = (message: string) => void;

export interface CommandOptions {
  readonly signal?: AbortSignal | undefined;
  readonly cwd?: string;
  /** Called for each line on stderr, as it comes. */
  readonly onLine?: OnProgress | undefined;
}

/** The port through which builders run programs; resolves to stdout. */
export type RunCommand = (file: string, args: readonly string[], options?: CommandOptions) => Promise<Buffer>;

const SAID_AT_MOST = 4000;

/**
 * Runs a program to its end and returns its stdout.
 * @throws ImageFault image-command-missing (not installed), image-command-failed (non-zero exit or
 * signal); an AbortError as it is.
 */
export const runCommand: RunCommand = async (file, args, options = {}) => {
  const { promise, resolve, reject } = Promise.withResolvers<Buffer>();
  const child = spawn(file, args, {
    cwd: options.cwd,
    env: { ...process.env, LC_ALL: "C.UTF-8", TZ: "UTC", DEBIAN_FRONTEND: "noninteractive" },
    stdio: ["ignore", "pipe", "pipe"],
    ...(options.signal === undefined ? {} : { signal: options.signal }),
  });
  const out: Buffer[] = [];
  let said = "";
  let line = "";
  let aborted: Error | undefined;
  child.stdout.on("data", (chunk: Buffer) => out.push(chunk));
  child.stderr.setEncoding("utf8").on("data", (chunk: string) => {
    said = (said + chunk).slice(-SAID_AT_MOST);
    const lines = (line + chunk).split(/[\r\n]+/);
    line = lines.pop() ?? "";
    for (const each of lines) if (each.trim() !== "") options.onLine?.(each.trim());
  });
  child.on("error", (error: NodeJS.ErrnoException) => {
    // It still runs for a moment, in directories that the caller is about to remove.
    if (error.name === "AbortError" && child.exitCode === null) {
      aborted = error;
      return;
    }
    reject(
      error.code === "ENOENT"
        ? new ImageFault("image-command-missing", `${file} is not installed`, {
            accepted: `a package that has ${file}`,
            cause: error,
          })
        : error,
    );
  });
  child.on("close", (code, signal) => {
    if (aborted !== undefined) return reject(aborted);
    if (code === 0) return resolve(Buffer.concat(out));
    reject(
      new ImageFault(
        "image-command-failed",
        `${file} ${args.join(" ")}: ${signal ?? `exit ${code}`}: ${said.trim()}`,
      ),
    );
  });
  return promise;
};
