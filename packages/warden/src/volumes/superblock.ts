/**
 * What an ext4 superblock says of its image, read before anything mounts it.
 *
 * The host's root made it and no instrument can write it; still, it is looked at only as far as is needed to say in
 * plain words what is wrong. Source: Documentation/filesystems/ext4/super.rst.
 */
import { open } from "node:fs/promises";
import { WardenError } from "../error.ts";
import { renderVolume } from "./volume-error.ts";
import type { VolumeRef } from "./volume-store.ts";

const OFFSET_BYTES = 1024;
const MAGIC = 0xef53;
const INCOMPAT_ENCRYPT = 0x10000;

export interface Superblock {
  /** Size of the file system. */
  readonly sizeBytes: number;
  readonly blockBytes: number;
}

/**
 * @throws WardenError `volume-damaged` where there is none, or it tells of more than the file has;
 *   `volume-not-encrypted`
 */
export async function readSuperblock(file: string, ref: VolumeRef): Promise<Superblock> {
  await using handle = await open(file, "r");
  const { size: fileBytes } = await handle.stat();
  const block = Buffer.alloc(OFFSET_BYTES);
  const { bytesRead } = await handle.read(block, 0, block.length, OFFSET_BYTES);
  const fields = { instrument: ref.instrument, id: ref.id };
  const refuse = (code: "volume-damaged" | "volume-not-encrypted", why: string): WardenError =>
    new WardenError(code, `${renderVolume(ref)}: ${why}`, { fields });
  if (bytesRead < block.length || block.readUInt16LE(0x38) !== MAGIC) {
    throw refuse("volume-damaged", `${file} has no ext4 superblock; e2fsck(8) may find another with -b`);
  }
  const blockBytes = 1024 << (block.readUInt32LE(0x18) & 0xf);
  const sizeBytes = (block.readUInt32LE(0x4) + block.readUInt32LE(0x150) * 2 ** 32) * blockBytes;
  if (sizeBytes > fileBytes) {
    throw refuse("volume-damaged", `${file} is cut short: ${fileBytes} of ${sizeBytes} bytes are there`);
  }
  if ((block.readUInt32LE(0x60) & INCOMPAT_ENCRYPT) === 0) {
    throw refuse("volume-not-encrypted", `${file} is a file system without encryption`);
  }
  return { sizeBytes, blockBytes };
}
