/**
 * The lock that keeps two commands from changing host-wide things (accounts, packages, the scanner) at once.
 *
 * Invariant: it is held by an open file description (flock(2)), so it is free again when its holder dies, however.
 */
import { spawn } from "node:child_process";
import { mkdir } from "node:fs/promises";
import { dirname } from "node:path";
import { HOST_LAYOUT } from "@bulkhead/schema";
import { HostError } from "./error.ts";

export const LOCK_FILE = `${HOST_LAYOUT.hostDir}.lock`;
const patienceSeconds = 900;

/**
 * Runs `work` while holding the lock.
 * @throws HostError `host-lock-timeout` if it was not to be had in 15 minutes; and what `work` throws
 */
export async function withHostLock<T>(signal: AbortSignal | undefined, work: () => Promise<T>): Promise<T> {
  const release = await lockHost(signal);
  try {
    return await work();
  } finally {
    await release();
  }
}

/** @returns what frees it */
async function lockHost(signal: AbortSignal | undefined): Promise<() => Promise<void>> {
  await mkdir(dirname(LOCK_FILE), { recursive: true });
  // `cat` echoes once the lock is held, and ends, freeing it, when our end of the pipe closes.
  const holder = spawn(
    "flock",
    ["--exclusive", "--timeout", String(patienceSeconds), "--close", LOCK_FILE, "cat"],
    { stdio: ["pipe", "pipe", "ignore"], env: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin" } },
  );
  const exited = Promise.withResolvers<void>();
  const held = Promise.withResolvers<void>();
  const refuse = (cause?: unknown): void => {
    exited.resolve();
    held.reject(
      new HostError("host-lock-timeout", "another command is changing this host", {
        advice: "wait for the other setup, up or down to end, or end it",
        cause,
      }),
    );
  };
  holder.once("error", refuse);
  holder.once("exit", () => refuse());
  holder.stdout.once("data", () => held.resolve());
  holder.stdin.on("error", () => undefined);
  holder.stdin.write("\n");
  const abort = (): void => void holder.kill();
  signal?.addEventListener("abort", abort, { once: true });
  await held.promise.finally(() => signal?.removeEventListener("abort", abort));
  return async () => {
    holder.stdin.end();
    await exited.promise;
  };
}
