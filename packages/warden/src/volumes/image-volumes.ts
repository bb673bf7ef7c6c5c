/**
 * Volumes as image files: ext4 in a file of fixed size, mounted through a loop device, its one directory `d/`
 * encrypted with a key of its own. The size of the file is the quota, because file systems without quotas are common
 * and a file works everywhere.
 *
 * Invariants: a file is reserved whole when it is made, so an instrument gets "no space" only for its own data; it
 * appears under its name once it is formatted and encrypted; mounts are nosuid,nodev; the container sees `d/` alone,
 * never the file system's root. A persistent volume's key is the vault's, and is destroyed before the file; a
 * transient one's is in the kernel alone. Nothing is attached whose key the kernel does not call present.
 */
import { mkdir, readdir, rm, rmdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { type InstallationLayout, Name, type Observed, PLATFORM_VOLUME } from "@bulkhead/schema";
import type { Commands } from "../commands.ts";
import { isMountPoint } from "../engine/host-mounts.ts";
import { isWardenError, WardenError } from "../error.ts";
import { nullIfMissing } from "../site/read-file.ts";
import { fscrypt, type KeyStatus, newVolumeKey } from "../vault/fscrypt.ts";
import type { Secret } from "../vault/secret.ts";
import type { VolumeKeys } from "../vault/vault.ts";
import { encryptedDirectory } from "./encrypted-directory.ts";
import { fillImage, growImage, keepIfUsed, makeImage } from "./image-file.ts";
import { giveTo } from "./give-to.ts";
import { awaitLoopDetach, loopDevicesOf } from "./loop-devices.ts";
import { mountHolders, shareMounts } from "./mount-holders.ts";
import { coded, renderVolume } from "./volume-error.ts";
import type { NewVolume, ObservedVolume, VolumeOwner, VolumeRef, VolumeStore } from "./volume-store.ts";

export type ImageVolumePlaces = Pick<InstallationLayout, "volumesDir" | "mountsDir">;

const DETACH_WAIT_MS = 3_000;
const REMOVE_WAIT_MS = 8_000;
/** The kind is told by the file's name, so that nothing else has to be kept in step. */
const SUFFIX = { persistent: ".img", transient: ".transient.img" } as const;
type Kind = keyof typeof SUFFIX;
/** The platform's own volume, which is no instrument's. */
const PLATFORM: string = PLATFORM_VOLUME.instrument;

export function imageVolumes(places: ImageVolumePlaces, commands: Commands, keys: VolumeKeys): VolumeStore {
  const { volumesDir, mountsDir } = places;
  const directory = encryptedDirectory(fscrypt(commands));
  const imageFile = (ref: VolumeRef, kind: Kind) =>
    join(volumesDir, Name.parse(ref.instrument), `${Name.parse(ref.id)}${SUFFIX[kind]}`);
  const mountDir = (ref: VolumeRef) => join(mountsDir, Name.parse(ref.instrument), Name.parse(ref.id));
  const dataDir = (ref: VolumeRef) => join(mountDir(ref), "d");

  /** Mounts `file`, and has `act` work on it; where that fails it is unmounted again. */
  const mount = async (ref: VolumeRef, file: string, act: (dir: string) => Promise<void>): Promise<void> => {
    const dir = mountDir(ref);
    await using undo = new AsyncDisposableStack();
    if (!(await isMountPoint(dir))) {
      await mkdir(dir, { recursive: true, mode: 0o700 });
      await shareMounts(mountsDir, commands);
      // No `discard`: it would give the file's reservation back.
      await mountImage(ref, file, dir, commands);
      undo.defer(async () => void (await unmount(ref, file, DETACH_WAIT_MS)));
    }
    await act(dir);
    undo.move();
  };

  /** Takes the key away and unmounts on the host. `free`: the kernel holds the file no more: see mount-holders.ts. */
  const unmount = async (ref: VolumeRef, file: string, waitMs: number): Promise<Unmounted> => {
    const dir = mountDir(ref);
    let key: KeyStatus = "absent";
    if (await isMountPoint(dir)) {
      key = await directory.close(dir);
      await coded("volume-busy", ref, () => commands.run(["umount", "--", dir]));
    }
    return { key, free: await awaitLoopDetach(file, waitMs) };
  };

  const destroy = async (ref: VolumeRef, kind: Kind): Promise<void> => {
    await rm(imageFile(ref, kind), { force: true });
    await rmdir(mountDir(ref)).catch(nullIfMissing);
  };

  /** The record of the key comes first: data without one could never be read. */
  const makePersistent = async (volume: NewVolume): Promise<void> => {
    const file = imageFile(volume, "persistent");
    // Half-made, and still mounted, where the last attempt was killed.
    await unmount(volume, `${file}.new`, DETACH_WAIT_MS);
    await using undo = new AsyncDisposableStack();
    using key = await keys.create(volume);
    undo.defer(() => keys.destroy(volume));
    await makeImage(file, volume, commands, async (beside) => {
      await coded("volume-create-failed", volume, () =>
        mount(volume, beside, (dir) => directory.begin(dir, key)),
      );
      const { free } = await unmount(volume, beside, REMOVE_WAIT_MS);
      if (!free) throw await held(volume, beside);
    });
    undo.move();
  };

  const attachTransient = async (volume: NewVolume, owner: VolumeOwner): Promise<void> => {
    const file = imageFile(volume, "transient");
    await unmount(volume, file, DETACH_WAIT_MS);
    await destroy(volume, "transient");
    await makeImage(file, volume, commands, async () => undefined);
    using key: Secret = newVolumeKey();
    await mount(volume, file, async (dir) => {
      await directory.begin(dir, key);
      await giveTo(dataDir(volume), owner, commands);
    });
  };

  const attachPersistent = async (volume: NewVolume, owner: VolumeOwner): Promise<void> => {
    const file = imageFile(volume, "persistent");
    if (!(await exists(file))) throw missing(volume);
    using key = await keys.open(volume);
    if (!(await isMountPoint(mountDir(volume)))) await fillImage(file, volume, commands);
    await mount(volume, file, async (dir) => {
      await directory.open(dir, volume, key);
      await giveTo(dataDir(volume), owner, commands);
    });
  };

  const kindOf = async (ref: VolumeRef): Promise<Kind | null> => {
    if (await exists(imageFile(ref, "persistent"))) return "persistent";
    return (await exists(imageFile(ref, "transient"))) ? "transient" : null;
  };

  const look = async (ref: VolumeRef): Promise<ObservedVolume | null> => {
    const kind = await kindOf(ref);
    if (kind === null) return null;
    const found = await stat(imageFile(ref, kind)).catch(nullIfMissing);
    if (found === null) return null;
    const { instrument, id } = ref;
    return { instrument, id, kind, sizeBytes: found.size, mounted: await isMountPoint(mountDir(ref)) };
  };

  return {
    dataDir,
    find: look,
    async create(volume) {
      const present = await kindOf(volume);
      if (present === null) return makePersistent(volume);
      if (present === volume.kind) return;
      throw new WardenError("volume-kind-differs", `${renderVolume(volume)} is there, and ${present}`, {
        fields: { ...volume, present },
      });
    },
    async grow(volume, sizeBytes) {
      const kind = await kindOf(volume);
      if (kind === null) throw missing(volume);
      const file = imageFile(volume, kind);
      if (sizeBytes > (await stat(file)).size) await growImage(file, volume, sizeBytes, commands);
    },
    async attach(volume, owner) {
      if (volume.kind === "transient") await attachTransient(volume, owner);
      else await attachPersistent(volume, owner);
    },
    async detach(volume) {
      const kind = await kindOf(volume);
      if (kind === null) return;
      // Held by a namespace of somebody else's, it costs nothing: the next mount takes the same loop device.
      const { key } = await unmount(volume, imageFile(volume, kind), DETACH_WAIT_MS);
      if (kind === "transient") await destroy(volume, kind);
      if (key === "held") throw keyHeld(volume);
    },
    async remove(volume) {
      await keys.destroy(volume);
      const kind = await kindOf(volume);
      if (kind === null) return;
      const { free } = await unmount(volume, imageFile(volume, kind), REMOVE_WAIT_MS);
      if (!free) throw await held(volume, imageFile(volume, kind));
      await destroy(volume, kind);
      const instrument = Name.parse(volume.instrument);
      for (const dir of [volumesDir, mountsDir]) await rmdir(join(dir, instrument)).catch(keepIfUsed);
    },
    async observe() {
      const volumes: Observed["volumes"] = [];
      for (const instrument of await namesIn(volumesDir)) {
        if (instrument === PLATFORM) continue;
        for (const file of await readdir(join(volumesDir, instrument))) {
          const ref = parseFileName(instrument, file);
          if (ref === null) continue;
          const found = await look(ref);
          if (found !== null) volumes.push(found);
        }
      }
      return volumes;
    },
  };
}

interface Unmounted {
  readonly key: KeyStatus;
  readonly free: boolean;
}

/** @throws WardenError `volume-damaged`, `volume-mount-failed` */
async function mountImage(ref: VolumeRef, file: string, dir: string, commands: Commands): Promise<void> {
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

function keyHeld(ref: VolumeRef): WardenError {
  return new WardenError(
    "volume-key-held",
    `${renderVolume(ref)}: files are still open under its key; they stay readable to whoever has them`,
    { fields: { instrument: ref.instrument, id: ref.id } },
  );
}

async function held(ref: VolumeRef, file: string): Promise<WardenError> {
  const holders = (await mountHolders(await loopDevicesOf(file))).join(", ");
  return new WardenError(
    "volume-busy",
    `${renderVolume(ref)}: ${file} is held by ${holders || "the kernel"}`,
    {
      fields: { instrument: ref.instrument, id: ref.id, file, holders },
    },
  );
}

function missing(ref: VolumeRef): WardenError {
  return new WardenError("volume-missing", `${renderVolume(ref)}: there is no such volume`, {
    fields: { instrument: ref.instrument, id: ref.id },
  });
}

async function exists(path: string): Promise<boolean> {
  return (await stat(path).catch(nullIfMissing)) !== null;
}

async function namesIn(dir: string): Promise<readonly string[]> {
  const entries = (await readdir(dir).catch(nullIfMissing)) ?? [];
  return entries.filter((entry) => Name.safeParse(entry).success);
}

/** `data.img` and `run.transient.img`; everything else is none of ours, or not finished. */
function parseFileName(instrument: string, file: string): VolumeRef | null {
  for (const kind of ["transient", "persistent"] as const) {
    if (!file.endsWith(SUFFIX[kind])) continue;
    const id = Name.safeParse(file.slice(0, -SUFFIX[kind].length));
    if (id.success) return { instrument, id: id.data };
  }
  return null;
}
