/**
 * frames.c, compiled for one test, and run inside namespaces: what is sent and what arrives, as frames in hex.
 */
import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { hostCommands } from "../../../packages/warden/src/commands.ts";

export interface Sent {
  readonly sent: number;
  readonly failed: number;
}

export interface Received {
  readonly frames: readonly string[];
  readonly count: number;
  /** Frames that the receiving socket had no room for. */
  readonly dropped: number;
}

export interface Receiver {
  /** Stops reading, as SIGSTOP does to a tool, and goes on. */
  freeze(): void;
  thaw(): void;
  /** Ends when nothing has arrived for 300 ms. */
  finish(): Promise<Received>;
}

/** Disposing of it ends receivers that were not finished, as after a failed assertion. */
export interface FrameTool extends Disposable {
  /** `enter` is an argv prefix such as `ip netns exec NAME`. */
  send(enter: readonly string[], device: string, frames: readonly string[], how?: "bypass"): Promise<Sent>;
  flood(
    enter: readonly string[],
    device: string,
    count: number,
    sizeBytes: number,
    gapUs?: number,
  ): Promise<Sent>;
  sendGso(enter: readonly string[], device: string, count: number): Promise<Sent>;
  /** Listens before it returns. */
  receive(enter: readonly string[], device: string): Promise<Receiver>;
  /** As receive, without keeping the frames. */
  count(enter: readonly string[], device: string): Promise<Receiver>;
}

/** Compiles the tool into a directory. */
export async function frameTool(directory: string): Promise<FrameTool> {
  const commands = hostCommands();
  const tool = join(directory, "frames");
  await commands.run(["gcc", "-O2", "-o", tool, join(import.meta.dirname, "frames.c")]);
  const running = new Set<ChildProcess>();
  const send = async (argv: readonly string[], input = ""): Promise<Sent> => {
    const { stdout } = await commands.run(argv, { input, timeoutMs: 60_000 });
    const [, sent, failed] = /^sent (\d+) failed (\d+)$/m.exec(stdout) ?? [];
    return { sent: Number(sent), failed: Number(failed) };
  };
  return {
    send: (enter, device, frames, how) =>
      send([...enter, tool, "send", device, ...(how ? [how] : [])], `${frames.join("\n")}\n`),
    flood: (enter, device, count, sizeBytes, gapUs = 0) =>
      send([...enter, tool, "flood", device, ...[count, sizeBytes, gapUs].map(String)]),
    sendGso: (enter, device, count) => send([...enter, tool, "gso", device, String(count)]),
    receive: (enter, device) => startReceiver([...enter, tool, "receive", device], running),
    count: (enter, device) => startReceiver([...enter, tool, "count", device], running),
    [Symbol.dispose]() {
      for (const child of running) child.kill("SIGKILL");
    },
  };
}

async function startReceiver(argv: readonly string[], running: Set<ChildProcess>): Promise<Receiver> {
  const [file = "", ...args] = argv;
  const child = spawn(file, args, { stdio: ["pipe", "pipe", "inherit"] });
  running.add(child);
  const ended = once(child, "exit").finally(() => running.delete(child));
  const lines: string[] = [];
  const output = createInterface({ input: child.stdout });
  const closed = once(output, "close");
  const ready = new Promise<void>((resolve, reject) => {
    output.on("line", (line) => {
      lines.push(line);
      if (line === "ready") resolve();
    });
    output.once("close", () => reject(new Error(`${argv.join(" ")} did not listen`)));
  });
  await ready;
  return {
    freeze: () => void child.kill("SIGSTOP"),
    thaw: () => void child.kill("SIGCONT"),
    async finish() {
      child.stdin.end();
      await Promise.all([ended, closed]);
      const numberAfter = (word: string) =>
        Number(lines.find((line) => line.startsWith(`${word} `))?.split(" ")[1] ?? Number.NaN);
      const frames = lines.filter((line) => /^[0-9a-f]+$/.test(line));
      const counted = lines.some((line) => line.startsWith("frames "));
      return {
        frames,
        count: counted ? numberAfter("frames") : frames.length,
        dropped: numberAfter("dropped"),
      };
    },
  };
}
