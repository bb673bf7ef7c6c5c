/**
 * Broker control: gives the running broker its rules and makes sure that it follows them.
 *
 * Invariants: a configuration that nats-server does not accept never takes the place of one that
 * it does (it would keep the old rules and say nothing); only a process that was started with our
 * configuration is signalled; rules count as taken when the broker itself shows them. Starting the
 * broker is the supervisor's.
 */
import { execFile } from "node:child_process";
import { mkdir, readFile, rename, writeFile } from "node:fs/promises";
import type { NatsConnection } from "@nats-io/transport-node";
import { SensordError } from "../error.ts";
import type { Log } from "../log.ts";
import { pause } from "../pause.ts";
import type { BrokerPaths } from "./broker-config.ts";

/** After so long without the rules being taken by a reload, the broker is asked to end: its supervisor starts it again, with them. */
const RELOAD_PATIENCE_MS = 5000;
const SIGNAL_EVERY_MS = 1000;
const POLL_MS = 25;

export interface FollowUntil {
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

export class BrokerControl {
  readonly #paths: BrokerPaths;
  readonly #natsServer: string;
  readonly #log: Log;

  constructor(paths: BrokerPaths, natsServer: string, log: Log) {
    this.#paths = paths;
    this.#natsServer = natsServer;
    this.#log = log;
  }

  /** Makes the broker's directory, for its owner alone. */
  async prepare(): Promise<void> {
    await mkdir(this.#paths.dir, { recursive: true, mode: 0o700 });
  }

  /**
   * Puts the configuration in place, if it is another than the one that is there, and has a
   * broker that runs read it; true where it was another.
   * @throws SensordError `bus-config-rejected` if nats-server does not accept it.
   */
  async write(text: string): Promise<boolean> {
    const { configFile } = this.#paths;
    if ((await readIfThere(configFile)) === text) return false;
    const next = `${configFile}.next`;
    await writeFile(next, text, { mode: 0o600 });
    await this.#check(next);
    await rename(next, configFile);
    await this.#signal("SIGHUP");
    return true;
  }

  /** Whether there is a configuration for the broker to start with. */
  async isWritten(): Promise<boolean> {
    return (await readIfThere(this.#paths.configFile)) !== undefined;
  }

  /**
   * Has the broker follow `marker`'s rules; returns when it does. New rules may end a connection,
   * so the present one is asked for each time.
   * @throws SensordError `bus-rules-not-taken` when it does not within `timeoutMs`, or before `signal` is aborted.
   */
  async follow(connection: () => NatsConnection | null, marker: string, until: FollowUntil): Promise<void> {
    const { timeoutMs, signal } = until;
    const beganMs = performance.now();
    let signalledMs = beganMs; // writing the rules signalled it
    let restarted = false;
    while (!(await follows(connection(), marker))) {
      const nowMs = performance.now();
      if (signal.aborted || nowMs - beganMs > timeoutMs) {
        throw new SensordError("bus-rules-not-taken", "the broker does not follow its new rules");
      }
      if (!restarted && nowMs - beganMs > RELOAD_PATIENCE_MS) {
        this.#log.warn("broker did not take its rules by a reload and is restarted");
        restarted = await this.#signal("SIGTERM");
      } else if (!restarted && nowMs - signalledMs > SIGNAL_EVERY_MS) {
        await this.#signal("SIGHUP");
        signalledMs = nowMs;
      }
      await pause(POLL_MS, signal);
    }
  }

  /** False where no broker of ours runs; one that starts reads the newest rules anyway. */
  async #signal(signal: "SIGHUP" | "SIGTERM"): Promise<boolean> {
    const pid = Number(await readIfThere(this.#paths.pidFile));
    if (!Number.isInteger(pid) || pid <= 1) return false;
    // The file may be from before: what has that number now may be another process.
    const argv = (await readIfThere(`/proc/${pid}/cmdline`))?.split("\0");
    if (argv === undefined || !argv.includes(this.#paths.configFile)) return false;
    process.kill(pid, signal);
    return true;
  }

  async #check(file: string): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    execFile(this.#natsServer, ["-t", "-c", file], { timeout: 20_000 }, (cause, _, stderr) => {
      if (cause === null) return resolve();
      const said = stderr.trim().slice(0, 500);
      const message = `nats-server does not accept the bus configuration: ${said}`;
      reject(new SensordError("bus-config-rejected", message, { cause }));
    });
    await promise;
  }
}

/** Whether the broker's rules are those that `marker` names, by what it says of this connection. */
async function follows(connection: NatsConnection | null, marker: string): Promise<boolean> {
  if (connection === null) return false;
  try {
    const reply = await connection.request("$SYS.REQ.USER.INFO", undefined, { timeout: 1000 });
    return reply.string().includes(`"${marker}"`);
  } catch {
    return false; // not connected at the moment: asked again until the deadline
  }
}

async function readIfThere(path: string): Promise<string | undefined> {
  return readFile(path, "utf8").catch((error: unknown) => {
    // ESRCH: the process ended while its file was read.
    if (error instanceof Error && "code" in error && (error.code === "ENOENT" || error.code === "ESRCH")) {
      return undefined;
    }
    throw error;
  });
}
