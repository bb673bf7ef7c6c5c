/**
 * Key store: the wrapped key of each persistent volume, and of each slice of one that is cut, one root-only file each.
 * Slices' keys lie in a place of their own, which no back-up takes along: see docs/decisions/0016.
 *
 * Invariants: written whole and flushed before anything is encrypted with the key; a destroyed record is overwritten
 * in place, flushed, and unlinked. A disk that writes elsewhere (SSD, copy-on-write) may keep the old blocks: what
 * they hold is wrapped by the master key, and that is what `rekey` and the master's own destruction are for.
 */
import { mkdir, open, readdir, rm, rmdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import { Name, SliceName } from "@bulkhead/schema";
import * as z from "zod";
import { WardenError } from "../error.ts";
import { writeFileAtomically } from "../site/atomic-file.ts";
import { isErrno, nullIfMissing, readIfPresent } from "../site/read-file.ts";
import type { KeyRef, VolumeRef } from "../volumes/volume-store.ts";
import { WrappedKey } from "./key-wrap.ts";

const KeyRecord = z.strictObject({
  version: z.literal(1),
  identifier: z.string().regex(/^[0-9a-f]{32}$/),
  wrapped: WrappedKey,
});
export type KeyRecord = z.infer<typeof KeyRecord>;

export class KeyStore {
  readonly #dir: string;
  readonly #slicesDir: string;

  /** @param dir a directory of root's alone; slices' keys lie beside it, in `slice-keys` */
  constructor(dir: string) {
    this.#dir = dir;
    this.#slicesDir = join(dirname(dir), "slice-keys");
  }

  /** Null where there is none. @throws WardenError `volume-key-damaged` */
  async read(ref: KeyRef): Promise<KeyRecord | null> {
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

  async write(ref: KeyRef, record: KeyRecord): Promise<void> {
    const file = this.#file(ref);
    const made = await mkdir(dirname(file), { recursive: true, mode: 0o700 });
    await writeFileAtomically(file, `${JSON.stringify(record)}\n`);
    if (made !== undefined) await sync(dirname(made));
  }

  /** With those of its slices, where it is a volume's. Idempotent. */
  async destroy(ref: KeyRef): Promise<void> {
    const file = this.#file(ref);
    if (ref.slice === undefined) {
      for (const slice of await this.slices(ref)) await destroyFile(this.#file({ ...ref, slice }));
      await removeIfEmpty(this.#sliceDir(ref));
      await removeIfEmpty(dirname(this.#sliceDir(ref)));
    }
    await destroyFile(file);
    await removeIfEmpty(dirname(file));
  }

  async destroyAll(): Promise<void> {
    for (const ref of await this.list()) await this.destroy(ref);
    for (const instrument of await namesIn(this.#slicesDir)) {
      for (const id of await namesIn(join(this.#slicesDir, instrument)))
        await this.destroy({ instrument, id });
    }
  }

  /** Of which slices of a volume there are keys, the oldest first. */
  async slices(ref: VolumeRef): Promise<readonly SliceName[]> {
    const files = (await readdir(this.#sliceDir(ref)).catch(nullIfMissing)) ?? [];
    const names = files
      .filter((file) => file.endsWith(".json"))
      .map((file) => file.slice(0, -".json".length));
    return names.filter((name) => SliceName.safeParse(name).success).toSorted();
  }

  async list(): Promise<readonly VolumeRef[]> {
    const refs: VolumeRef[] = [];
    for (const instrument of await namesIn(this.#dir)) {
      for (const file of await readdir(join(this.#dir, instrument))) {
        const id = Name.safeParse(file.replace(/\.json$/, ""));
        if (file.endsWith(".json") && id.success) refs.push({ instrument, id: id.data });
      }
    }
    return refs;
  }

  #file({ instrument, id, slice }: KeyRef): string {
    return slice === undefined
      ? join(this.#dir, Name.parse(instrument), `${Name.parse(id)}.json`)
      : join(this.#sliceDir({ instrument, id }), `${SliceName.parse(slice)}.json`);
  }

  #sliceDir({ instrument, id }: VolumeRef): string {
    return join(this.#slicesDir, Name.parse(instrument), Name.parse(id));
  }
}

async function namesIn(dir: string): Promise<readonly string[]> {
  const entries = (await readdir(dir).catch(nullIfMissing)) ?? [];
  return entries.filter((entry) => Name.safeParse(entry).success);
}

async function removeIfEmpty(dir: string): Promise<void> {
  await rmdir(dir).catch((error: unknown) => {
    if (!isErrno(error, "ENOTEMPTY", "ENOENT")) throw error;
  });
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
