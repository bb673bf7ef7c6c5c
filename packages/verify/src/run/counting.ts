/** Root's side of stand-ins that count what they take: starts them unprivileged and asks. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface, type Interface } from "node:readline";
import * as z from "zod";
import { VerifyError } from "../error.ts";

const Counts = z.record(z.string().max(60), z.int());
const ANSWER_MS = 20_000;

export class Counting implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #lines: Interface;

  private constructor(child: ChildProcess, lines: Interface) {
    this.#child = child;
    this.#lines = lines;
  }

  /** @throws VerifyError `verify-relay-ended` */
  static async start(options: {
    readonly node: string;
    readonly program: string;
    readonly argv: readonly string[];
    /** A namespace to start it in. */
    readonly netns?: string;
    readonly uid: number;
    readonly gid: number;
  }): Promise<Counting> {
    const { node, program, netns, uid, gid } = options;
    const rights = [
      `--reuid=${uid}`,
      `--regid=${gid}`,
      "--clear-groups",
      "--no-new-privs",
      "--bounding-set=-all",
      "--inh-caps=-all",
      "--",
    ];
    const enter = netns === undefined ? [] : ["nsenter", `--net=${netns}`, "--"];
    const [file = "", ...args] = [...enter, "setpriv", ...rights, node, program, ...options.argv];
    const child = spawn(file, args, {
      stdio: ["pipe", "pipe", "inherit"],
      cwd: "/",
      env: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin" },
    });
    const { stdout } = child;
    const counting = new Counting(child, createInterface({ input: stdout, crlfDelay: Infinity }));
    await counting.#ask();
    return counting;
  }

  async count(name: string): Promise<number> {
    return (await this.#ask())[name] ?? 0;
  }

  async #ask(): Promise<z.infer<typeof Counts>> {
    const answer = once(this.#lines, "line", { signal: AbortSignal.timeout(ANSWER_MS) });
    this.#child.stdin?.write("count\n");
    try {
      const [line] = z
        .tuple([z.string()])
        .rest(z.unknown())
        .parse(await answer);
      return Counts.parse(JSON.parse(line));
    } catch (cause) {
      throw new VerifyError("verify-relay-ended", "the stand-ins for others' services do not answer", {
        cause,
      });
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const closed = once(this.#child, "close");
    this.#child.stdin?.end();
    const timer = setTimeout(() => this.#child.kill("SIGKILL"), 2_000);
    await closed;
    clearTimeout(timer);
  }
}
