/**
 * Programs inside of an instrument's container, entered through the runtime: they are held by all that holds the
 * instrument (control group, capabilities, seccomp, limits), and belong to it.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import type { InstallationLayout, Settings } from "@bulkhead/schema";

const NODE = "/opt/node/bin/node";

export interface InsideProgram extends AsyncDisposable {
  /** Its first line of output; null where it ended without one, as one that was stopped does. */
  readonly firstLine: string | null;
  /** Says one line to it and waits for its answer. @throws Error if it ended */
  ask(line: string): Promise<string>;
}

export class Inside {
  readonly #client: string;
  readonly #project: string;

  constructor(layout: InstallationLayout, settings: Pick<Settings, "runtime">) {
    this.#client = settings.runtime.kind === "lxd" ? "lxc" : "incus";
    this.#project = layout.slug;
  }

  /** Starts a script with Node as the instrument's user, and waits for its first line. */
  node(instrument: string, script: string, ...args: readonly string[]): Promise<InsideProgram> {
    return this.#start(this.#exec(instrument, true, [NODE, "-e", script, "--", ...args]));
  }

  /** A program below /data as the container's root, who has the capabilities of its first process: NET_RAW, or none. */
  asRoot(instrument: string, argv: readonly string[]): Promise<InsideProgram> {
    return this.#start(this.#exec(instrument, false, argv));
  }

  /** Puts a program below /data, as the instrument itself could. */
  async put(instrument: string, path: string, content: Buffer): Promise<void> {
    const script = `const fs = require("node:fs"); fs.writeFileSync(process.argv[1], fs.readFileSync(0)); fs.chmodSync(process.argv[1], 0o755);`;
    const child = this.#exec(instrument, true, [NODE, "-e", script, "--", path]);
    // One that ended without reading is judged by its exit code, not by the broken pipe.
    child.stdin?.on("error", () => undefined);
    child.stdin?.end(content);
    const [code] = await once(child, "close");
    if (code !== 0) throw new Error(`${path} could not be put into ${instrument}: exit code ${code}`);
  }

  #exec(instrument: string, asUser: boolean, argv: readonly string[]): ChildProcess {
    const user = asUser ? ["--user", "1000", "--group", "1000"] : [];
    const how = ["--project", this.#project, "--force-noninteractive", ...user, instrument, "--", ...argv];
    return spawn(this.#client, ["exec", ...how], { stdio: ["pipe", "pipe", "inherit"] });
  }

  async #start(child: ChildProcess): Promise<InsideProgram> {
    const { stdin, stdout } = child;
    if (stdin === null || stdout === null) throw new TypeError("it was started with pipes");
    const lines = createInterface({ input: stdout })[Symbol.asyncIterator]();
    const closed = once(child, "close");
    const first = await lines.next();
    return {
      firstLine: first.done === true ? null : first.value,
      async ask(line) {
        stdin.write(`${line}\n`);
        const answer = await lines.next();
        if (answer.done === true) throw new Error("the program inside ended");
        return answer.value;
      },
      async [Symbol.asyncDispose]() {
        stdin.end();
        await closed;
      },
    };
  }
}
