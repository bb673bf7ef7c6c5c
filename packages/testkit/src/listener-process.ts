/**
 * A program that listens until it is told to end: tcpdump and the packet tools, here or in a namespace.
 *
 * Invariants: starting returns only once the program said that it listens; stopping waits for its end and returns all
 * it printed; only the process started here is ever signalled, and disposing of it ends it also after a failure.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { TestkitError } from "./error.ts";
import { namespacePath } from "./netns.ts";

export interface ListenerOptions {
  readonly argv: readonly [string, ...string[]];
  /** The host's own namespace if absent. */
  readonly namespace?: string;
  /** Whether this line of stderr says that it listens. */
  readonly isReady: (line: string) => boolean;
  readonly stopSignal: "SIGINT" | "SIGTERM";
}

export interface ListenerOutput {
  readonly stdout: string;
  readonly stderrLines: readonly string[];
}

export interface ListenerProcess extends AsyncDisposable {
  /** The program's own process, not a wrapper's. */
  readonly pid: number;
  /** Settles when the program ends, by itself or by `stop`; @throws TestkitError `testkit-tool-failed` if it failed. */
  readonly ended: Promise<ListenerOutput>;
  /** Tells it to end, unless it has ended, and waits. */
  stop(): Promise<ListenerOutput>;
}

/** Starts a listener; @throws TestkitError `testkit-tool-failed` if it ends before it listens. */
export async function startListener(options: ListenerOptions): Promise<ListenerProcess> {
  const [file, ...args] = inNamespace(options.namespace, options.argv);
  const child = spawn(file, args, { stdio: ["ignore", "pipe", "pipe"] });
  const stdout: string[] = [];
  const stderrLines: string[] = [];
  const ready = Promise.withResolvers<void>();
  child.stdout.setEncoding("utf8").on("data", (text: string) => stdout.push(text));
  createInterface({ input: child.stderr }).on("line", (line) => {
    stderrLines.push(line);
    if (options.isReady(line)) ready.resolve();
  });
  const fail = (cause?: unknown): TestkitError =>
    new TestkitError("testkit-tool-failed", `${options.argv.join(" ")}: ${stderrLines.join("; ")}`, {
      cause,
    });
  child.on("error", (cause) => ready.reject(fail(cause)));
  const ended = once(child, "close").then(([code]) => {
    if (code !== 0) throw fail();
    return { stdout: stdout.join(""), stderrLines };
  });
  ended.then(
    () => ready.reject(fail()),
    (error: unknown) => ready.reject(error),
  );
  await ready.promise;
  const stop = (): Promise<ListenerOutput> => {
    if (child.exitCode === null && child.signalCode === null) child.kill(options.stopSignal);
    return ended;
  };
  return {
    // It said that it listens, so it has a pid.
    pid: child.pid ?? 0,
    ended,
    stop,
    [Symbol.asyncDispose]: async () => {
      // Whoever wanted the outcome has `ended`; here only the process must be gone.
      await stop().catch(() => undefined);
    },
  };
}

/** The argv that runs a program in a namespace, or as it is on the host. */
export function inNamespace(
  namespace: string | undefined,
  argv: readonly [string, ...string[]],
): readonly [string, ...string[]] {
  return namespace === undefined ? argv : ["nsenter", `--net=${namespacePath(namespace)}`, "--", ...argv];
}
