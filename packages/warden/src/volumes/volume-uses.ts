/**
 * Volume uses: how full each mounted volume of an instrument is, and when the oldest file of some was
 * born, for the retention report. One look at a time: it is asked for by sensord.
 */
import { statfs } from "node:fs/promises";
import type { VolumeUse } from "@bulkhead/schema";
import { WardenError } from "../error.ts";
import { TaskQueue } from "../hold/task-queue.ts";
import { readBirthTimes } from "./birth-times.ts";
import type { VolumeStore } from "./volume-store.ts";

export interface VolumeUses {
  of(instrument: string, births: readonly string[]): Promise<readonly VolumeUse[]>;
}

export function volumeUses(volumes: Pick<VolumeStore, "observe" | "dataDir">): VolumeUses {
  const queue = new TaskQueue();
  return {
    of: (instrument, births) =>
      queue.run(async () => {
        const mounted = (await volumes.observe()).filter((v) => v.instrument === instrument && v.mounted);
        const uses: VolumeUse[] = [];
        for (const { id } of mounted) {
          const dir = volumes.dataDir({ instrument, id });
          const { blocks, bfree, bsize } = await statfs(dir);
          uses.push({
            id,
            usedBytes: (blocks - bfree) * bsize,
            births: births.includes(id) ? await birthsOrNull(dir) : null,
          });
        }
        return uses;
      }),
  };
}

/** A volume whose files cannot be looked at is shown as not measured. */
async function birthsOrNull(dir: string): Promise<VolumeUse["births"]> {
  try {
    return await readBirthTimes(dir);
  } catch (error) {
    if (error instanceof WardenError && error.code === "volume-not-read") return null;
    throw error;
  }
}
