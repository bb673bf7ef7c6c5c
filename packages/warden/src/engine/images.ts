/**
 * Images of the catalogue in the container runtime, each known by its digest alone, which is the runtime's fingerprint
 * of the split image.
 *
 * Invariants: what is imported has the digest that the plan names: image.json must say so, and the runtime hashes what
 * it gets. Images of other projects are never seen.
 */
import { join } from "node:path";
import { type InstallationLayout, Name } from "@bulkhead/schema";
import * as z from "zod";
import { isWardenError, WardenError } from "../error.ts";
import { readIfPresent } from "../site/read-file.ts";
import type { RuntimeClient } from "./runtime-client.ts";
import { Image } from "./runtime-schemas.ts";

export interface Images {
  /**
   * Imports the image of a catalogue package, if it is not there yet.
   * @throws WardenError `image-missing`, `image-digest-differs`, and those of RuntimeClient
   */
  importImage(packageName: string, digest: string, signal?: AbortSignal): Promise<void>;
  /** @throws WardenError `runtime-refused` while an instrument is being made from it */
  removeImage(digest: string): Promise<void>;
  /** Digests, sorted. */
  observeImages(): Promise<readonly string[]>;
}

const FileName = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]*$/);
/** The part of image.json that the import needs. */
const Record = z.object({
  digest: z.string(),
  metadata: z.object({ file: FileName }),
  rootfs: z.object({ file: FileName }),
});
const Digest = z.string().regex(/^[0-9a-f]{64}$/);
const IMPORT_TIMEOUT_MS = 600_000;

export function images(client: RuntimeClient, layout: Pick<InstallationLayout, "catalogueDir">): Images {
  return {
    async importImage(packageName, digest, signal) {
      const path = `/1.0/images/${Digest.parse(digest)}`;
      if ((await client.find(path, Image, { signal })) !== null) return;
      const dir = join(layout.catalogueDir, Name.parse(packageName));
      const text = await readIfPresent(join(dir, "image.json"));
      if (text === null) throw failure("image-missing", packageName, digest);
      const record = Record.parse(JSON.parse(text));
      if (record.digest !== digest) throw failure("image-digest-differs", packageName, digest);
      await client.importImage(
        {
          metadataFile: join(dir, record.metadata.file),
          rootfsFile: join(dir, record.rootfs.file),
          fingerprint: digest,
        },
        { signal, timeoutMs: IMPORT_TIMEOUT_MS },
      );
      if ((await client.find(path, Image, { signal })) === null) {
        throw failure("image-digest-differs", packageName, digest);
      }
    },
    async removeImage(digest) {
      try {
        await client.delete(`/1.0/images/${Digest.parse(digest)}`);
      } catch (error) {
        if (!isWardenError(error, "runtime-not-found")) throw error;
      }
    },
    async observeImages() {
      const found = await client.get("/1.0/images?recursion=1", z.array(Image));
      return found.map(({ fingerprint }) => fingerprint).toSorted();
    },
  };
}

function failure(
  code: "image-missing" | "image-digest-differs",
  packageName: string,
  digest: string,
): WardenError {
  const what = code === "image-missing" ? "the catalogue has no image" : "the catalogue's image is not";
  return new WardenError(code, `${packageName}: ${what} ${digest.slice(0, 12)}`, {
    fields: { package: packageName, digest },
  });
}
