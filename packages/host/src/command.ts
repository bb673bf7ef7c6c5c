/**
 * Programs of the host: an argument vector, a deadline, a fixed environment.
 *
 * Invariants: never a shell; messages are in the C locale so that code can read them; a program that is killed at its
 * deadline counts as failed. Long-lived programs are the supervisor's, not this file's.
 */
import { execFile } from "node:child_process";
import { HostError } from "./error.ts";

export interface CommandOptions {
  /** Written to stdin, which is then closed. */
  readonly input?: string;
  /** Killed with SIGKILL after this; 30 s by default. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
  /** Added to the environment. */
  readonly env?: Readonly<Record<string, string>>;
}

export interface CommandResult {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

const mirrorVariables = [
  "http_proxy",
  "https_proxy",
  "no_proxy",
  "HTTP_PROXY",
  "HTTPS_PROXY",
  "NO_PROXY",
  "NODE_EXTRA_CA_CERTS",
  "SSL_CERT_FILE",
  "npm_config_registry",
];
const outputLimitBytes = 64 * 1024 * 1024;

/**
 * Runs `file` and waits for exit code 0.
 * @returns what it printed on stdout
 * @throws HostError `host-command-missing`, `host-command-failed`
 */
export async function runCommand(
  file: string,
  args: readonly string[],
  options: CommandOptions = {},
): Promise<string> {
  const result = await askCommand(file, args, options);
  if (result.exitCode === 0) return result.stdout;
  const said = result.stderr.trim() || result.stdout.trim() || `exit code ${result.exitCode}`;
  throw new HostError("host-command-failed", `${[file, ...args].join(" ")}: ${said}`, {
    advice: "read the program's own message; run the command by hand to see more",
  });
}

/**
 * Runs `file` where a non-zero exit is an answer and no failure.
 * @throws HostError `host-command-missing` without such a program, `host-command-failed` if it was killed
 */
export async function askCommand(
  file: string,
  args: readonly string[],
  options: CommandOptions = {},
): Promise<CommandResult> {
  const { promise, resolve, reject } = Promise.withResolvers<CommandResult>();
  const line = [file, ...args].join(" ");
  const child = execFile(
    file,
    [...args],
    {
      cwd: "/",
      encoding: "utf8",
      env: commandEnvironment(options.env ?? {}),
      killSignal: "SIGKILL",
      maxBuffer: outputLimitBytes,
      timeout: options.timeoutMs ?? 30_000,
      ...(options.signal === undefined ? {} : { signal: options.signal }),
    },
    (error, stdout, stderr) => {
      const code: unknown = error === null ? 0 : error.code;
      if (typeof code === "number") {
        resolve({ exitCode: code, stdout, stderr });
      } else if (code === "ENOENT") {
        reject(
          new HostError("host-command-missing", `${file} is not installed`, {
            advice: "run `bulkhead setup`, which installs the programs that the platform needs",
            cause: error,
          }),
        );
      } else {
        reject(
          new HostError("host-command-failed", `${line}: ${error?.message ?? "killed"}`, {
            advice: "the program was killed or did not end in time; run the command by hand",
            cause: error,
          }),
        );
      }
    },
  );
  // A program that ends without reading its input is judged by its exit code, not by the broken pipe.
  child.stdin?.on("error", () => undefined);
  child.stdin?.end(options.input ?? "");
  return promise;
}

/** Mirrors' proxies are the host's own configuration, so those variables pass; nothing else of the caller's does. */
function commandEnvironment(added: Readonly<Record<string, string>>): Record<string, string> {
  const environment: Record<string, string> = {
    PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    LC_ALL: "C.UTF-8",
    HOME: process.env["HOME"] ?? "/root",
  };
  for (const name of mirrorVariables) {
    const value = process.env[name];
    if (value !== undefined) environment[name] = value;
  }
  return { ...environment, ...added };
}
