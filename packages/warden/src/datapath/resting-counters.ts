/**
 * Resting counters: what an engine counted, read anew only while something moves.
 *
 * Invariants: every frame that a mirror or a guard counts passes a device of the engine's namespace, and those are read
 * each time; a former reading is given again only when it was itself taken a whole interval after the last movement,
 * so that what rests is told exactly. Whoever changes the datapath calls `forget`.
 */
import { createHash } from "node:crypto";
import type { EngineCounters } from "./counters.ts";

interface Reading {
  /** Digest of what the devices counted when this was read. */
  readonly devices: string;
  readonly counters: EngineCounters;
  /** Whether the devices had counted the same at the look before. */
  readonly rested: boolean;
}

export class RestingCounters {
  readonly #readings = new Map<string, Reading>();
  #epoch = 0;

  /**
   * The former reading if nothing moved since well before it, else a new one by `read`.
   * @param devices what the engine's devices have counted; null where that is not known, and then all is read
   */
  async read(
    engine: string,
    devices: readonly unknown[] | null,
    read: () => Promise<EngineCounters>,
  ): Promise<EngineCounters> {
    if (devices === null) return read();
    const epoch = this.#epoch;
    const digest = createHash("sha256").update(JSON.stringify(devices)).digest("hex");
    const former = this.#readings.get(engine);
    const same = former?.devices === digest;
    if (same && former.rested) return former.counters;
    const counters = await read();
    // Something was changed while it was read: the next look reads again.
    if (epoch === this.#epoch) this.#readings.set(engine, { devices: digest, counters, rested: same });
    return counters;
  }

  /** The datapath is being changed: what was read before says nothing any more. */
  forget(): void {
    this.#epoch += 1;
    this.#readings.clear();
  }
}
