/** Starts and steers a keeper: see keeper-process.ts. */
import { fork } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { SensorStand } from "../sensord/sensor-stand.ts";

export type KeeperOrder =
  | { readonly keep: readonly number[] }
  | { readonly lie: number | null }
  | { readonly emit: string }
  | { readonly log: string };
export interface KeeperTold {
  readonly records: readonly number[];
}

export interface Keeper extends AsyncDisposable {
  /** What it keeps, by its own word to the test. */
  readonly records: readonly number[];
  tell(order: KeeperOrder): void;
  /** It is there and does nothing any more. */
  freeze(): void;
}

export async function startKeeper(stand: SensorStand): Promise<Keeper> {
  const program = fileURLToPath(new URL("keeper-process.ts", import.meta.url));
  const child = fork(program, ["keeper", join(stand.layout.socketsDir, "keeper")], { stdio: "inherit" });
  let records: readonly number[] = [];
  const up = Promise.withResolvers<void>();
  child.on("message", (message) => {
    records = (message as KeeperTold).records; // our own program's
    up.resolve();
  });
  child.once("exit", () => up.reject(new Error("the keeper ended")));
  await up.promise;
  return {
    get records() {
      return records;
    },
    tell: (order) => void child.send(order),
    freeze: () => void child.kill("SIGSTOP"),
    async [Symbol.asyncDispose]() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const exited = once(child, "exit");
      child.kill("SIGKILL");
      await exited;
    },
  };
}
