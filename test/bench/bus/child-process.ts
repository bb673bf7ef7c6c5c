/** A program of this bench as a process of its own, which is spoken to in lines and ends when its stdin does. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";

export interface ChildProgram extends AsyncDisposable {
  readonly pid: number;
  tell(task: unknown): void;
  /** The next line that it prints. @throws Error where it ended before. */
  line(): Promise<string>;
}

export function startProgram(file: string, ...argv: readonly string[]): ChildProgram {
  const path = join(import.meta.dirname, file);
  const child = spawn(process.execPath, [path, ...argv], { stdio: ["pipe", "pipe", "inherit"] });
  const exited = once(child, "exit");
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  if (child.pid === undefined) throw new Error(`${file} could not be started`);
  return {
    pid: child.pid,
    tell: (task) => void child.stdin.write(`${JSON.stringify(task)}\n`),
    line: async () => {
      const { value, done } = await lines.next();
      if (done === true) throw new Error(`${file} ended early`);
      return value;
    },
    [Symbol.asyncDispose]: async () => {
      child.stdin.end();
      await exited;
    },
  };
}
