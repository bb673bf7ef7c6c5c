/**
 * The file under a volume: reserved, formatted, grown.
 *
 * Invariants: a file is reserved whole, so that the host cannot run out of space under an instrument; it gets its name
 * when it is formatted; it never shrinks. A file system that is smaller than its file is made to fill it before the
 * next mount, because growing a mounted one needs a right (CAP_SYS_RESOURCE) that not every host's root has.
 */
import { mkdir, rename, rm, rmdir, stat, truncate } from "node:fs/promises";
import { dirname } from "node:path";
import type { Commands } from "../commands.ts";
import { isWardenError } from "../error.ts";
import { loopDevicesOf } from "./loop-devices.ts";
import { readSuperblock } from "./superblock.ts";
import { coded } from "./volume-error.ts";
import type { NewVolume, VolumeRef } from "./volume-store.ts";

/** Formatting and checking of some hundred gigabytes on a slow disk. */
const slow = { timeoutMs: 600_000 } as const;

/** The least that a file system is of use with, and one for each 16 KiB. */
const LEAST_INODES = 512;
const BYTES_PER_INODE = 16 * 1024;

/**
 * `prepare` gets the formatted file, before it has its name.
 * @throws WardenError `volume-no-space`, `volume-create-failed`; those of `prepare`
 */
export async function makeImage(
  file: string,
  volume: NewVolume,
  commands: Commands,
  prepare: (beside: string) => Promise<void>,
): Promise<void> {
  const beside = `${file}.new`;
  await mkdir(dirname(file), { recursive: true, mode: 0o700 });
  await rm(beside, { force: true });
  await using undo = new AsyncDisposableStack();
  undo.defer(() => rmdir(dirname(file)).catch(keepIfUsed));
  undo.defer(() => rm(beside, { force: true }));
  await coded("volume-create-failed", volume, async () => {
    await reserve(beside, volume.sizeBytes, commands);
    const inodes = Math.max(LEAST_INODES, Math.floor(volume.sizeBytes / BYTES_PER_INODE));
    const features = ["-O", "encrypt", "-m", "0", "-N", String(inodes)];
    const options = [...features, "-E", "nodiscard,lazy_itable_init=0,lazy_journal_init=0"];
    await commands.run(["mkfs.ext4", "-q", "-F", ...options, "--", beside], slow);
    // mkfs zeroes its journal by punching holes where the file system below knows no better way.
    await reserve(beside, volume.sizeBytes, commands);
  });
  await prepare(beside);
  await rename(beside, file);
}

/** @throws WardenError `volume-no-space` (the file is as before), `volume-grow-failed` */
export async function growImage(
  file: string,
  ref: VolumeRef,
  sizeBytes: number,
  commands: Commands,
): Promise<void> {
  const { size: beforeBytes } = await stat(file);
  await using undo = new AsyncDisposableStack();
  undo.defer(() => truncate(file, beforeBytes));
  await coded("volume-grow-failed", ref, async () => {
    await reserve(file, sizeBytes, commands);
    const [device] = await loopDevicesOf(file);
    if (device === undefined) return;
    await commands.run(["losetup", "-c", device]);
    try {
      await commands.run(["resize2fs", device], slow);
    } catch (error) {
      // Then the next mount does it.
      if (!isWardenError(error) || !/Permission denied to resize/.test(error.message)) throw error;
    }
  });
  undo.move();
}

/**
 * Before a mount: refuses what is no sound image of ours, and makes the file system as large as its file.
 * @throws WardenError `volume-damaged`, `volume-not-encrypted`, `volume-grow-failed`
 */
export async function fillImage(file: string, ref: VolumeRef, commands: Commands): Promise<void> {
  const { sizeBytes, blockBytes } = await readSuperblock(file, ref);
  // In use by a mount in another namespace: a check under it would be a second writer.
  if ((await loopDevicesOf(file)).length > 0) return;
  if (sizeBytes + blockBytes > (await stat(file)).size) return;
  await coded("volume-grow-failed", ref, async () => {
    try {
      await commands.run(["e2fsck", "-f", "-p", file], slow);
    } catch (error) {
      // Exit code 1: it repaired something, and all is well now (e2fsck(8)).
      if (!isWardenError(error) || error.fields["exitCode"] !== 1) throw error;
    }
    await commands.run(["resize2fs", file], slow);
  });
}

async function reserve(file: string, sizeBytes: number, commands: Commands): Promise<void> {
  await commands.run(["fallocate", "-l", String(sizeBytes), "--", file], slow);
}

/** For `.catch` of an `rmdir`: a directory that holds something stays, and one that is gone is gone. */
export function keepIfUsed(error: unknown): void {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  if (code !== "ENOTEMPTY" && code !== "ENOENT") throw error;
}
