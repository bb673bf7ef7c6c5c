/**
 * An instrument's agent for tests: bundled as for its image, and run as a process of its own.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { bundle } from "@bulkhead/images";

const INSTRUMENTS = join(import.meta.dirname, "../../../instruments");

export interface AgentProcess extends AsyncDisposable {
  readonly pid: number;
  /** Exit code or signal. */
  readonly ended: Promise<number | NodeJS.Signals>;
  kill(signal: NodeJS.Signals): Promise<number | NodeJS.Signals>;
  /** What it printed, which should be nothing. */
  readonly output: () => string;
}

/** Bundles `instruments/<name>` into `dir`, or the agent whose source is given; returns the file. */
export async function bundleAgent(
  name: string,
  dir: string,
  source: string = join(INSTRUMENTS, name, "src/main.ts"),
): Promise<string> {
  const { code } = await bundle(source, { format: "cjs" });
  const file = join(dir, `${name}.cjs`);
  await writeFile(file, code);
  return file;
}

export function runAgent(argv: readonly string[], env: Readonly<Record<string, string>>): AgentProcess {
  const [file, ...args] = argv;
  if (file === undefined) throw new TypeError("an argv begins with a program");
  const child = spawn(file, args, {
    stdio: ["ignore", "pipe", "pipe"],
    env: { PATH: "/usr/bin:/bin", ...env },
  });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk) => (output += String(chunk)));
  const ended = once(child, "exit").then(
    ([code, signal]: readonly unknown[]) => (code ?? signal) as number | NodeJS.Signals,
  );
  const kill = async (signal: NodeJS.Signals): Promise<number | NodeJS.Signals> => {
    if (child.exitCode === null && child.signalCode === null) child.kill(signal);
    return ended;
  };
  return {
    pid: child.pid ?? 0,
    ended,
    kill,
    output: () => output,
    async [Symbol.asyncDispose]() {
      await kill("SIGKILL");
    },
  };
}
