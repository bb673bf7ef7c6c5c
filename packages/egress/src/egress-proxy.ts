/**
 * The egress proxy: a door for each permit of the policy, each on a Unix socket in the directory of its instrument.
 *
 * Invariants: the policy is what the file says now; one that cannot be read permits nothing. A door whose permit went
 * is closed with all its connections.
 */
import { chmod, lstat, readFile, unlink } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { EgressPolicy } from "@bulkhead/schema";
import { DOOR_TIMES, type DoorTimes, InstrumentDoor } from "./instrument-door.ts";
import { type Log, wordsOf } from "./log.ts";
import { Recorder } from "./recorder.ts";

export interface EgressOptions {
  readonly policyFile: string;
  /** Holds a directory for each instrument; `egress.sock` is made in it. */
  readonly socketsDir: string;
  readonly recordSocket: string;
  readonly log: Log;
  readonly times?: DoorTimes;
  readonly mostWaiting?: number;
}

const LOOK_EVERY_MS = 250;
const NOTHING: EgressPolicy = { dns: [], private: [], proxy: null, permits: [] };

/** Runs until the signal aborts. */
export async function runEgressProxy(options: EgressOptions, signal: AbortSignal): Promise<void> {
  using recorder = new Recorder(options.recordSocket, options.log, options.mostWaiting);
  const doors = new Doors(options, recorder);
  let text: string | null = null;
  while (!signal.aborted) {
    const now = await readFile(options.policyFile, "utf8").catch(
      (error: unknown) => `unreadable: ${wordsOf(error)}`,
    );
    if (now !== text) doors.follow(parsePolicy(now, options.log));
    text = now;
    await doors.listen();
    await delay(LOOK_EVERY_MS, undefined, { signal }).catch(() => undefined);
  }
  doors.follow(NOTHING);
}

function parsePolicy(text: string, log: Log): EgressPolicy {
  try {
    const policy = EgressPolicy.parse(JSON.parse(text));
    log("policy", { instruments: policy.permits.map((permit) => permit.instrument).join(" ") });
    return policy;
  } catch (error) {
    log("no policy: nothing is permitted", { error: wordsOf(error).slice(0, 500) });
    return NOTHING;
  }
}

class Doors {
  readonly #options: EgressOptions;
  readonly #recorder: Recorder;
  readonly #doors = new Map<
    string,
    { readonly door: InstrumentDoor; inode: number | null; trouble: string }
  >();

  constructor(options: EgressOptions, recorder: Recorder) {
    this.#options = options;
    this.#recorder = recorder;
  }

  follow(policy: EgressPolicy): void {
    const permits = new Map(policy.permits.map((permit) => [permit.instrument, permit]));
    for (const [instrument, { door }] of this.#doors) {
      if (permits.has(instrument)) continue;
      door.close();
      this.#doors.delete(instrument);
    }
    for (const [instrument, permit] of permits) {
      const there = this.#doors.get(instrument);
      if (there !== undefined) {
        there.door.change(policy, permit);
        continue;
      }
      const { times = DOOR_TIMES, log } = this.#options;
      const door = new InstrumentDoor({ policy, permit, recorder: this.#recorder, times, log });
      this.#doors.set(instrument, { door, inode: null, trouble: "" });
    }
  }

  /** Every door listens at its path; one whose socket is gone does so anew. */
  async listen(): Promise<void> {
    for (const [instrument, state] of this.#doors) {
      const path = join(this.#options.socketsDir, instrument, "egress.sock");
      try {
        const found = await lstatOrNull(path);
        if (found !== null && found.ino === state.inode) continue;
        // Closing takes the name away at once; connections go on, so it is not waited for.
        if (state.door.server.listening) state.door.server.close();
        if ((await lstatOrNull(path))?.isSocket() === true) await unlink(path);
        await listenAt(state.door, path);
        // Whoever sees the directory may connect; the directory is one instrument's alone.
        await chmod(path, 0o666);
        state.inode = (await lstat(path)).ino;
        state.trouble = "";
      } catch (error) {
        const words = wordsOf(error);
        if (words !== state.trouble) this.#options.log("not listening yet", { instrument, error: words });
        state.trouble = words;
      }
    }
  }
}

function listenAt({ server }: InstrumentDoor, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(path, () => {
      server.off("error", reject);
      resolve();
    });
  });
}

async function lstatOrNull(path: string) {
  try {
    return await lstat(path);
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return null;
    throw error;
  }
}
