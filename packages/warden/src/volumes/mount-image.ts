/** Mounts a volume's image through a loop device, and says in words of its own why it could not. */
import type { Commands } from "../commands.ts";
import { isWardenError, WardenError } from "../error.ts";
import { coded } from "./volume-error.ts";
import type { VolumeRef } from "./volume-store.ts";

/** @throws WardenError `volume-damaged`, `volume-mount-failed` */
export async function mountImage(
  ref: VolumeRef,
  file: string,
  dir: string,
  commands: Commands,
): Promise<void> {
  await coded("volume-mount-failed", ref, async () => {
    try {
      await commands.run(["mount", "-t", "ext4", "-o", "loop,nosuid,nodev,noatime", "--", file, dir]);
    } catch (error) {
      if (
        !isWardenError(error) ||
        !/bad superblock|corrupted filesystem|Structure needs cleaning|Bad message/.test(error.message)
      ) {
        throw error;
      }
      const words = `${file} is damaged; e2fsck(8) may repair it, on a copy`;
      throw new WardenError("volume-damaged", words, { cause: error });
    }
  });
}
