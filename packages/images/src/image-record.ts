/**
 * image.json of a catalogue package: what was built, and what a container needs to know of it.
 *
 * `digest` is LXD's fingerprint of the split image, so an imported image can be found by it, and a
 * grant that names it names exactly these bytes.
 */
import * as z from "zod";

const Sha256 = z.string().regex(/^[0-9a-f]{64}$/);
const Archive = z.strictObject({
  /** Beside image.json. */
  file: z.string(),
  sha256: Sha256,
  sizeBytes: z.int().positive(),
});

export const ImageRecord = z.strictObject({
  formatVersion: z.literal(1),
  package: z.string(),
  version: z.string(),
  digest: Sha256,
  base: z.enum(["debian", "alpine"]),
  suite: z.string(),
  /** As LXD calls it: x86_64, aarch64. */
  architecture: z.string(),
  metadata: Archive,
  rootfs: Archive,
  unpackedBytes: z.int().nonnegative(),
  /** PID 1: reaps, forwards signals. */
  init: z.literal("/usr/bin/tini"),
  /** Present where the manifest asks for NET_RAW. */
  setpriv: z.literal("/usr/bin/setpriv").nullable(),
  /** `device`: mount the shared Node at /opt/node; `image`: the image has its own there. */
  node: z.enum(["device", "image"]),
  /** Path of the agent's bundle, or null where the package has none. */
  agent: z.literal("/opt/instrument/agent.cjs").nullable(),
  /** Digest of everything that the package was made from; the same means nothing to do. */
  sourceKey: Sha256,
});
export type ImageRecord = z.infer<typeof ImageRecord>;
