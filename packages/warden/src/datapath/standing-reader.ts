/**
 * Standing readers: `ip` and `tc` that stay in a namespace and answer question after question (`-batch -`), because
 * starting a program for each costs many times what the answer does.
 *
 * Invariants: they only read; each answer is one line of JSON; a reader is asked only while it is in the namespace
 * that the path names now; one that fails or is late is ended, and the next question starts another. A reader ends
 * with warden, whose end of its input is the last one.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { stat } from "node:fs/promises";
import { createInterface } from "node:readline";
import { PROGRAM_ENVIRONMENT, type RunOptions } from "../commands.ts";
import { WardenError } from "../error.ts";
import { nullIfMissing } from "../site/read-file.ts";
import type { NetworkNamespace } from "./namespace.ts";

const ANSWER_MS = 30_000;
/** What may stand in a line of a batch as it is. */
const WORD = /^[\w.:@-]+$/;

/** The readers of one datapath, by namespace. */
export class StandingReaders {
  readonly #readers = new Map<string, Reader>();

  /** The same namespace: questions to `ip -j` and `tc -j` are asked of readers, everything else runs as it would. */
  in(namespace: NetworkNamespace): NetworkNamespace {
    const { path } = namespace;
    if (path === null) return namespace;
    return {
      path,
      run: (argv, options) => {
        const question = questionOf(argv, options);
        return question === null ? namespace.run(argv, options) : this.#ask(path, question);
      },
    };
  }

  /** Ends those in a namespace, which would outlive its name otherwise. */
  leave(path: string): void {
    for (const [key, reader] of this.#readers) if (reader.path === path) this.#end(key);
  }

  async #ask(path: string, { program, line }: Question): Promise<{ readonly stdout: string }> {
    const key = [path, ...program].join(" ");
    const former = this.#readers.get(key);
    if (former !== undefined && !(await former.isInPlace())) this.#end(key);
    const reader = this.#readers.get(key) ?? new Reader(path, program);
    this.#readers.set(key, reader);
    try {
      return { stdout: await reader.ask(line) };
    } catch (error) {
      if (this.#readers.get(key) === reader) this.#end(key);
      throw error;
    }
  }

  #end(key: string): void {
    this.#readers.get(key)?.end();
    this.#readers.delete(key);
  }
}

interface Question {
  /** With its options: `tc -s -j`. */
  readonly program: readonly string[];
  readonly line: string;
}

function questionOf(argv: readonly string[], options: RunOptions | undefined): Question | null {
  const [name = "", ...words] = argv;
  if (!["ip", "tc"].includes(name) || options !== undefined) return null;
  const first = words.findIndex((word) => !word.startsWith("-"));
  const flags = words.slice(0, first);
  const rest = words.slice(first);
  if (!flags.includes("-j") || !rest.every((word) => WORD.test(word))) return null;
  return { program: [name, ...flags], line: rest.join(" ") };
}

class Reader {
  readonly path: string;
  readonly #argv: readonly string[];
  readonly #child: ChildProcess;
  readonly #waiting: PromiseWithResolvers<string>[] = [];
  #complaint = "";
  #hasAnswered = false;

  constructor(path: string, program: readonly string[]) {
    this.path = path;
    this.#argv = ["nsenter", `--net=${path}`, "--", ...program, "-batch", "-"];
    const [file = "", ...args] = this.#argv;
    const child = spawn(file, args, { env: PROGRAM_ENVIRONMENT, cwd: "/", stdio: "pipe" });
    this.#child = child;
    createInterface(child.stdout).on("line", (line) => this.#waiting.shift()?.resolve(line));
    child.stderr.on("data", (data: Buffer) => {
      this.#complaint = (this.#complaint + data.toString()).slice(-1000);
    });
    // A question that meets a reader's end is answered by that end.
    child.stdin.on("error", () => undefined);
    child.on("error", (error) => this.#fail(error));
    child.on("close", () => this.#fail());
    // The deadline of an open question is what keeps warden waiting, not a reader that stands idle.
    child.unref();
    for (const stream of [child.stdin, child.stdout, child.stderr])
      if ("unref" in stream && typeof stream.unref === "function") stream.unref();
  }

  /** One line of JSON. @throws WardenError `command-failed` {argv, stderr}, `command-timeout` */
  async ask(line: string): Promise<string> {
    const answer = Promise.withResolvers<string>();
    this.#waiting.push(answer);
    const late = setTimeout(() => {
      answer.reject(new WardenError("command-timeout", `${this.#argv.join(" ")}: no answer to ${line}`));
      this.end();
    }, ANSWER_MS);
    try {
      this.#child.stdin?.write(`${line}\n`);
      const json = await answer.promise;
      this.#hasAnswered = true;
      return json;
    } finally {
      clearTimeout(late);
    }
  }

  end(): void {
    this.#child.kill("SIGKILL");
  }

  /** Whether the path stands for the namespace that the reader is in: a name may have been given to another. */
  async isInPlace(): Promise<boolean> {
    // Its number may be another process' by now.
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return false;
    // Until then it may be on its way in.
    if (!this.#hasAnswered) return true;
    const own = await stat(`/proc/${this.#child.pid}/ns/net`).catch(nullIfMissing);
    const named = await stat(this.path).catch(nullIfMissing);
    return own !== null && named !== null && own.ino === named.ino && own.dev === named.dev;
  }

  #fail(cause?: Error): void {
    const argv = this.#argv.join(" ");
    const stderr = this.#complaint.trim();
    const error = new WardenError("command-failed", `${argv}: ${stderr || "it ended"}`, {
      fields: { argv, stderr },
      cause,
    });
    for (const answer of this.#waiting.splice(0)) answer.reject(error);
  }
}
