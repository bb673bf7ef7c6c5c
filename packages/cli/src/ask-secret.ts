/**
 * Secrets from a person: typed without echo at a terminal, or one line of standard input. Never from arguments or
 * the environment, which others on the host can read.
 */
import { once } from "node:events";
import { createInterface } from "node:readline";
import { Writable } from "node:stream";
import { CliError } from "./error.ts";

/** @throws CliError `secret-empty` */
export async function askSecret(question: string): Promise<string> {
  const { stdin, stderr } = process;
  if (stdin.isTTY) stderr.write(`${question}: `);
  // The line editor echoes into nothing.
  const silent = new Writable({ write: (_chunk, _encoding, done) => done() });
  const lines = createInterface({ input: stdin, output: silent, terminal: stdin.isTTY });
  try {
    const line = await firstLine(lines);
    if (line === "") throw new CliError("secret-empty", `${question}: nothing was given`, { exitCode: 2 });
    return line;
  } finally {
    lines.close();
    if (stdin.isTTY) stderr.write("\n");
  }
}

/** Asked for twice at a terminal. @throws CliError `secret-empty`, `secret-differs` */
export async function askNewSecret(question: string): Promise<string> {
  const first = await askSecret(question);
  if (!process.stdin.isTTY || first === (await askSecret(`${question}, again`))) return first;
  throw new CliError("secret-differs", "the two are not the same; nothing was changed", { exitCode: 2 });
}

async function firstLine(lines: ReturnType<typeof createInterface>): Promise<string> {
  const ended = new AbortController();
  lines.once("close", () => ended.abort());
  try {
    const [line] = (await once(lines, "line", { signal: ended.signal })) as [string];
    return line;
  } catch (error) {
    if (ended.signal.aborted) return "";
    throw error;
  }
}
