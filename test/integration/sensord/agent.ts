/** Starts and steers an agent process: see agent-process.ts. */
import { fork } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { ConfigCommand, HealthReport } from "@bulkhead/schema";
import type { SensorStand } from "./sensor-stand.ts";

export type AgentOrder =
  | { readonly emit: string; readonly data: unknown }
  | { readonly log: string }
  | { readonly packets: HealthReport["packets"] };
export type AgentTold = { readonly given: ConfigCommand } | { readonly up: true };

export interface Agent extends AsyncDisposable {
  /** Configurations that it was given, in order; one with `level: 5` it refuses. */
  readonly given: readonly ConfigCommand[];
  tell(order: AgentOrder): void;
}

export async function startAgent(stand: SensorStand, name: string): Promise<Agent> {
  const program = fileURLToPath(new URL("agent-process.ts", import.meta.url));
  const child = fork(program, [name, join(stand.layout.socketsDir, name)], { stdio: "inherit" });
  const given: ConfigCommand[] = [];
  const up = Promise.withResolvers<void>();
  child.on("message", (message) => {
    const told = message as AgentTold; // our own program's
    if ("given" in told) given.push(told.given);
    else up.resolve();
  });
  child.once("exit", () => up.reject(new Error(`the agent ${name} ended`)));
  await up.promise;
  return {
    given,
    tell: (order) => void child.send(order),
    async [Symbol.asyncDispose]() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const exited = once(child, "exit");
      child.kill("SIGKILL");
      await exited;
    },
  };
}
