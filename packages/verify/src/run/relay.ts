/**
 * Root's side of the relay: starts it unprivileged, gives orders and waits for answers.
 *
 * Invariants: an answer is waited for no longer than its deadline; an adversary that goes away, says what cannot be
 * read, or answers something else than was asked is a failure of the attempt and of all after it.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { FromRelay, type ToAdversary } from "../protocol.ts";
import { VerifyError } from "../error.ts";

export interface Adversary {
  /** What the adversary claims; null where it is gone. */
  run(
    id: string,
    params: object,
    timeoutMs: number,
  ): Promise<{ readonly answer: string; readonly detail: string } | null>;
  release(id: string, timeoutMs: number): Promise<boolean>;
  end(): void;
}

export class Relay implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #waiting: ((message: FromRelay | null) => void)[] = [];
  readonly #queue: FromRelay[] = [];
  #ended = false;

  private constructor(child: ChildProcess) {
    this.#child = child;
  }

  /** @throws VerifyError `verify-relay-ended` */
  static async start(options: {
    readonly node: string;
    readonly program: string;
    readonly socketPath: string;
    readonly uid: number;
    readonly gid: number;
  }): Promise<Relay> {
    const { node, program, socketPath, uid, gid } = options;
    const rights = [
      `--reuid=${uid}`,
      `--regid=${gid}`,
      "--clear-groups",
      "--no-new-privs",
      "--bounding-set=-all",
      "--inh-caps=-all",
      "--",
    ];
    const child = spawn("setpriv", [...rights, node, program, socketPath], {
      stdio: ["pipe", "pipe", "inherit"],
      cwd: "/",
      env: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin" },
    });
    const relay = new Relay(child);
    const { stdout } = child;
    if (stdout === null) throw new TypeError("the relay has no stdout");
    createInterface({ input: stdout, crlfDelay: Infinity }).on("line", (line) =>
      relay.#take(FromRelay.parse(JSON.parse(line))),
    );
    child.on("error", () => relay.#close());
    child.on("close", () => relay.#close());
    const first = await relay.#next(20_000);
    if (first?.type !== "listening")
      throw new VerifyError("verify-relay-ended", "the relay for the adversary did not start");
    return relay;
  }

  /** Waits for an adversary of this uid to come. Null where none does, or once nobody is to be waited for. */
  async adversary(uid: number, timeoutMs: number, given: AbortSignal): Promise<Adversary | null> {
    const hello = await this.#next(timeoutMs, given);
    if (hello?.type !== "hello" || hello.uid !== uid) return null;
    return {
      run: async (id, params, ms) => {
        this.#say({ type: "run", id, params: { ...params } });
        const deed = await this.#next(ms);
        return deed?.type === "deed" && deed.id === id ? deed : null;
      },
      release: async (id, ms) => {
        this.#say({ type: "release", id });
        const released = await this.#next(ms);
        return released?.type === "released" && released.id === id;
      },
      end: () => this.#say({ type: "end" }),
    };
  }

  /** Waits until the adversary's connection is closed, so that the next one is not taken for it. */
  async gone(timeoutMs: number): Promise<void> {
    for (;;) {
      const message = await this.#next(timeoutMs);
      if (message === null || message.type === "gone") return;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#ended) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#child.once("close", () => resolve());
    this.#child.stdin?.end();
    const timer = setTimeout(() => this.#child.kill("SIGKILL"), 2_000);
    await promise;
    clearTimeout(timer);
  }

  #say(message: ToAdversary): void {
    this.#child.stdin?.write(`${JSON.stringify(message)}\n`);
  }

  #take(message: FromRelay): void {
    const waiting = this.#waiting.shift();
    if (waiting === undefined) this.#queue.push(message);
    else waiting(message);
  }

  #close(): void {
    this.#ended = true;
    for (const waiting of this.#waiting.splice(0)) waiting(null);
  }

  async #next(timeoutMs: number, given?: AbortSignal): Promise<FromRelay | null> {
    const queued = this.#queue.shift();
    if (queued !== undefined) return queued;
    if (this.#ended || given?.aborted === true) return null;
    const { promise, resolve } = Promise.withResolvers<FromRelay | null>();
    this.#waiting.push(resolve);
    const giveUp = (): void => {
      const index = this.#waiting.indexOf(resolve);
      if (index !== -1) this.#waiting.splice(index, 1);
      resolve(null);
    };
    const timer = setTimeout(giveUp, timeoutMs);
    given?.addEventListener("abort", giveUp);
    try {
      return await promise;
    } finally {
      clearTimeout(timer);
      given?.removeEventListener("abort", giveUp);
    }
  }
}
