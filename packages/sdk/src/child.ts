/**
 * Child: a tool that the agent runs beside itself, kept running.
 *
 * Invariants: at most one process at a time; it comes back after an exit that nobody asked for,
 * with a back-off that a long enough run forgets; each start has an epoch of its own, so that
 * counters of two starts are never mixed; its output becomes log lines. It does not survive the
 * agent: in a container the agent's end ends everything.
 */
import { spawn, type ChildProcessByStdio } from "node:child_process";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { SdkError } from "./error.ts";
import { jitteredDelayMs } from "./jitter.ts";

/** An argv; the program's path is absolute. */
export interface ToolCommand {
  readonly file: string;
  readonly args: readonly string[];
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string | undefined>>;
}

export interface ToolListener {
  readonly started?: (run: ToolRun) => void;
  /** `expected`: somebody asked for it. The epoch's last counters belong here. */
  readonly ended?: (run: ToolRun, how: string, expected: boolean) => void;
  readonly line?: (line: string, stream: "stdout" | "stderr") => void;
}

/** One start of the tool. */
export interface ToolRun {
  readonly pid: number;
  readonly epoch: string;
  /** Starts before this one. */
  readonly restarts: number;
}

export interface ToolOptions {
  /** From SIGTERM to SIGKILL. */
  readonly graceMs: number;
  readonly backoffMs: number;
  readonly maxBackoffMs: number;
  /** A run this long forgets earlier failures. */
  readonly stableMs: number;
}

type ToolProcess = ChildProcessByStdio<null, Readable, Readable>;

const DEFAULTS: ToolOptions = { graceMs: 10_000, backoffMs: 500, maxBackoffMs: 30_000, stableMs: 30_000 };

export class Tool {
  readonly #listener: ToolListener;
  readonly #options: ToolOptions;
  readonly #epochBase = Date.now().toString(36);
  #command: ToolCommand | null = null;
  #process: ToolProcess | null = null;
  #run: ToolRun | null = null;
  #ended: Promise<void> = Promise.resolve();
  #retry: NodeJS.Timeout | null = null;
  /** A start that is under way; a stop waits for it, so that none slips through. */
  #spawning: Promise<unknown> = Promise.resolve();
  #starts = 0;
  #failures = 0;
  #stopping = false;

  constructor(listener: ToolListener, options: Partial<ToolOptions> = {}) {
    this.#listener = listener;
    this.#options = { ...DEFAULTS, ...options };
  }

  /** The present run, or null while there is none. */
  get run(): ToolRun | null {
    return this.#run;
  }

  get restarts(): number {
    return Math.max(0, this.#starts - 1);
  }

  /**
   * Starts the tool, or restarts it in an orderly way with this command; resolves once it runs.
   * @throws SdkError `sdk-child-start-failed` where the program cannot be executed.
   */
  async start(command: ToolCommand): Promise<ToolRun> {
    await this.stop();
    this.#command = command;
    this.#failures = 0;
    const spawning = this.#spawn(command);
    this.#spawning = spawning;
    return spawning;
  }

  /** SIGTERM, SIGKILL after the grace; resolves when it is gone. It stays away until `start`. */
  async stop(): Promise<void> {
    this.#command = null;
    if (this.#retry !== null) clearTimeout(this.#retry);
    this.#retry = null;
    await this.#spawning.catch(() => undefined); // who started it sees the failure
    const child = this.#process;
    if (child === null) return this.#ended;
    this.#stopping = true;
    child.kill("SIGTERM");
    const kill = setTimeout(() => child.kill("SIGKILL"), this.#options.graceMs);
    await this.#ended;
    clearTimeout(kill);
  }

  async #spawn(command: ToolCommand): Promise<ToolRun> {
    const child = spawn(command.file, [...command.args], {
      stdio: ["ignore", "pipe", "pipe"],
      ...(command.cwd === undefined ? {} : { cwd: command.cwd }),
      ...(command.env === undefined ? {} : { env: command.env }),
    });
    const started = Promise.withResolvers<void>();
    child.once("spawn", started.resolve);
    child.once("error", started.reject);
    try {
      await started.promise;
    } catch (cause) {
      throw new SdkError("sdk-child-start-failed", `${command.file} cannot be run`, { cause });
    }
    const run = this.#began(child);
    this.#listener.started?.(run);
    return run;
  }

  #began(child: ToolProcess): ToolRun {
    const startedAtMs = performance.now();
    this.#starts += 1;
    const run = { pid: child.pid ?? 0, epoch: `${this.#epochBase}-${this.#starts}`, restarts: this.restarts };
    this.#process = child;
    this.#run = run;
    this.#stopping = false;
    this.#read(child.stdout, "stdout");
    this.#read(child.stderr, "stderr");
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#ended = promise;
    // `close` comes after the output was read, so that last words count as this run's.
    child.once("close", (code, signal) => {
      this.#process = null;
      this.#run = null;
      const how = signal === null ? `exit code ${code}` : `signal ${signal}`;
      if (performance.now() - startedAtMs > this.#options.stableMs) this.#failures = 0;
      this.#listener.ended?.(run, how, this.#stopping);
      resolve();
      if (this.#command !== null && !this.#stopping) this.#scheduleRetry(this.#command);
    });
    return run;
  }

  #scheduleRetry(command: ToolCommand): void {
    const waitMs = jitteredDelayMs(this.#failures++, this.#options.backoffMs, this.#options.maxBackoffMs);
    this.#retry = setTimeout(() => {
      this.#retry = null;
      const spawning = this.#spawn(command);
      this.#spawning = spawning;
      spawning.catch((error: unknown) => {
        this.#listener.line?.(String(error), "stderr");
        if (this.#command === command) this.#scheduleRetry(command);
      });
    }, waitMs);
  }

  #read(stream: Readable, name: "stdout" | "stderr"): void {
    createInterface({ input: stream, crlfDelay: Infinity }).on("line", (line) =>
      this.#listener.line?.(line, name),
    );
  }
}
