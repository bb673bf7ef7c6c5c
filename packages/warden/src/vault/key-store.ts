/**
 * Key store: the wrapped key of each persistent volume, one root-only file each.
 *
 * Invariants: written whole and flushed before anything is encrypted with the key; a destroyed record is overwritten
 * in place, flushed, and unlinked. A disk that writes elsewhere (SSD, copy-on-write) may keep the old blocks: what
 * they hold is wrapped by the master key, and that is what `rekey` and the master's own destruction are for.
 */
import { mkdir, open, readdir, rm, rmdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import { Name } from "@bulkhead/schema";
import * as z from "zod";
import { WardenError } from "../error.ts";
import { writeFileAtomically } from "../site/atomic-file.ts";
import { nullIfMissing, readIfPresent } from "../site/read-file.ts";
import type { VolumeRef } from "../volumes/volume-store.ts";
import { WrappedKey } from "./key-wrap.ts";

const KeyRecord = z.strictObject({
  version: z.literal(1),
  identifier: z.string().regex(/^[0-9a-f]{32}$/),
  wrapped: WrappedKey,
});
export type KeyRecord = z.infer<typeof KeyRecord>;

export class KeyStore {
  readonly #dir: string;

  /** @param dir a directory of root's alone */
  constructor(dir: string) {
    this.#dir = dir;
  }

  /** Null where there is none. @throws WardenError `volume-key-damaged` */
  async read(ref: VolumeRef): Promise<KeyRecord | null> {
    const file = this.#file(ref);
    const text = await readIfPresent(file);
    if (text === null) return null;
    try {
      return KeyRecord.parse(JSON.parse(text));
    } catch (cause) {
      throw new WardenError("volume-key-damaged", `${file} is not a key record`, {
        fields: { instrument: ref.instrument, id: ref.id },
        cause,
      });
    }
  }

  async write(ref: VolumeRef, record: KeyRecord): Promise<void> {
    await mkdir(dirname(this.#file(ref)), { recursive: true, mode: 0o700 });
    await writeFileAtomically(this.#file(ref), `${JSON.stringify(record)}\n`);
    await sync(this.#dir);
  }

  /** Idempotent. */
  async destroy(ref: VolumeRef): Promise<void> {
    const file = this.#file(ref);
    await destroyFile(file);
    await rmdir(dirname(file)).catch((error: unknown) => {
      const code = error instanceof Error && "code" in error ? error.code : undefined;
      if (code !== "ENOTEMPTY" && code !== "ENOENT") throw error;
    });
  }

  async list(): Promise<readonly VolumeRef[]> {
    const refs: VolumeRef[] = [];
    for (const instrument of (await readdir(this.#dir).catch(nullIfMissing)) ?? []) {
      if (!Name.safeParse(instrument).success) continue;
      for (const file of await readdir(join(this.#dir, instrument))) {
        const id = Name.safeParse(file.replace(/\.json$/, ""));
        if (file.endsWith(".json") && id.success) refs.push({ instrument, id: id.data });
      }
    }
    return refs;
  }

  #file({ instrument, id }: VolumeRef): string {
    return join(this.#dir, Name.parse(instrument), `${Name.parse(id)}.json`);
  }
}

/** Overwrites, flushes and unlinks a small file. Idempotent. */
export async function destroyFile(path: string): Promise<void> {
  const file = await open(path, "r+").catch(nullIfMissing);
  if (file === null) return;
  try {
    const { size } = await file.stat();
    await file.write(Buffer.alloc(size), 0, size, 0);
    await file.sync();
  } finally {
    await file.close();
  }
  await rm(path, { force: true });
  await sync(dirname(path));
}

async function sync(dir: string): Promise<void> {
  const folder = await open(dir, "r");
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}
