/** Hex sha256 of bytes and files; an image's digest is LXD's fingerprint of it. */
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";

export function sha256(content: Buffer | string): string {
  return createHash("sha256").update(content).digest("hex");
}

export async function sha256File(file: string): Promise<string> {
  return sha256Files([file]);
}

/**
 * Of several files one after the other. LXD's fingerprint of a split image is that of the metadata
 * archive followed by the root file system's (LXD doc/image-handling, "split tarballs").
 */
export async function sha256Files(files: readonly string[]): Promise<string> {
  const hash = createHash("sha256");
  for (const file of files) {
    for await (const chunk of createReadStream(file, { highWaterMark: 1 << 20 })) {
      hash.update(chunk as Buffer);
    }
  }
  return hash.digest("hex");
}
