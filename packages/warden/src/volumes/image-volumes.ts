/**
 * Volumes as image files: ext4 in a file of fixed size, mounted through a loop device, its one directory `d/`
 * encrypted with a key of its own, or holding slices of which each is. The size of the file is the quota, because file
 * systems without quotas are common and a file works everywhere.
 *
 * Invariants: a file is reserved whole when it is made, so an instrument gets "no space" only for its own data; it
 * appears under its name once it is formatted and encrypted; mounts are nosuid,nodev; the container sees `d/` alone,
 * never the file system's root. A persistent volume's key is the vault's, and is destroyed before the file; a
 * transient one's is in the kernel alone. Nothing is attached whose key the kernel does not call present.
 */
import { mkdir, readdir, rm, rmdir, stat } from "node:fs/promises";
import { join } from "node:path";
import {
  type InstallationLayout,
  Name,
  type Observed,
  PLATFORM_VOLUME,
  type SliceSpec,
} from "@bulkhead/schema";
import type { Commands } from "../commands.ts";
import { isMountPoint } from "../engine/host-mounts.ts";
import { WardenError } from "../error.ts";
import { nullIfMissing } from "../site/read-file.ts";
import { fscrypt, type KeyStatus, newVolumeKey } from "../vault/fscrypt.ts";
import type { Secret } from "../vault/secret.ts";
import type { VolumeKeys } from "../vault/vault.ts";
import { encryptedDirectory } from "./encrypted-directory.ts";
import { fillImage, growImage, keepIfUsed, makeImage } from "./image-file.ts";
import { giveTo } from "./give-to.ts";
import { awaitLoopDetach } from "./loop-devices.ts";
import { shareMounts } from "./mount-holders.ts";
import { mountImage } from "./mount-image.ts";
import { slicedDirectory } from "./sliced-directory.ts";
import { coded, keyHeld, renderVolume, volumeHeld, volumeMissing } from "./volume-error.ts";
import type { NewVolume, ObservedVolume, VolumeOwner, VolumeRef, VolumeStore } from "./volume-store.ts";

export type ImageVolumePlaces = Pick<InstallationLayout, "volumesDir" | "mountsDir">;

const DETACH_WAIT_MS = 3_000;
const REMOVE_WAIT_MS = 8_000;
/** The kind is told by the file's name, so that nothing else has to be kept in step. */
const SUFFIX = { persistent: ".img", transient: ".transient.img", sliced: ".slices.img" } as const;
/** A sliced one is persistent too. */
type Kind = keyof typeof SUFFIX;
/** The platform's own volume, which is no instrument's. */
const PLATFORM: string = PLATFORM_VOLUME.instrument;

/** @param latestMs the latest that it may be: what is past its period then is not opened */
export function imageVolumes(
  places: ImageVolumePlaces,
  commands: Commands,
  keys: VolumeKeys,
  latestMs: () => number = () => Date.now(),
): VolumeStore {
  const { volumesDir, mountsDir } = places;
  const crypt = fscrypt(commands);
  const directory = encryptedDirectory(crypt);
  const slices = slicedDirectory({ crypt, keys, commands, latestMs });
  const imageFile = (ref: VolumeRef, kind: Kind) =>
    join(volumesDir, Name.parse(ref.instrument), `${Name.parse(ref.id)}${SUFFIX[kind]}`);
  const imageOf = (ref: VolumeRef, kind: Kind): Image => ({ file: imageFile(ref, kind), kind });
  const mountDir = (ref: VolumeRef) => join(mountsDir, Name.parse(ref.instrument), Name.parse(ref.id));
  const dataDir = (ref: VolumeRef) => join(mountDir(ref), "d");

  /** Mounts `file`, and has `act` work on it; where that fails it is unmounted again. */
  const mount = async (
    ref: VolumeRef,
    { file, kind }: Image,
    act: (dir: string) => Promise<void>,
  ): Promise<void> => {
    const dir = mountDir(ref);
    await using undo = new AsyncDisposableStack();
    if (!(await isMountPoint(dir))) {
      await mkdir(dir, { recursive: true, mode: 0o700 });
      await shareMounts(mountsDir, commands);
      // No `discard`: it would give the file's reservation back.
      await mountImage(ref, file, dir, commands);
      undo.defer(async () => void (await unmount(ref, { file, kind }, DETACH_WAIT_MS)));
    }
    await act(dir);
    undo.move();
  };

  /** Takes the key away and unmounts on the host. `free`: the kernel holds the file no more: see mount-holders.ts. */
  const unmount = async (ref: VolumeRef, { file, kind }: Image, waitMs: number): Promise<Unmounted> => {
    const dir = mountDir(ref);
    let key: KeyStatus = "absent";
    if (await isMountPoint(dir)) {
      key = await (kind === "sliced" ? slices : directory).close(dir);
      await coded("volume-busy", ref, () => commands.run(["umount", "--", dir]));
    }
    return { key, free: await awaitLoopDetach(file, waitMs) };
  };

  const destroy = async (ref: VolumeRef, kind: Kind): Promise<void> => {
    await rm(imageFile(ref, kind), { force: true });
    await rmdir(mountDir(ref)).catch(nullIfMissing);
  };

  /** Made, and begun by `begin`, before it has its name. */
  const makeKept = async (
    volume: NewVolume,
    kind: Kind,
    begin: (dir: string) => Promise<void>,
  ): Promise<void> => {
    const file = imageFile(volume, kind);
    // Half-made, and still mounted, where the last attempt was killed.
    await unmount(volume, { file: `${file}.new`, kind }, DETACH_WAIT_MS);
    await makeImage(file, volume, commands, async (beside) => {
      const image: Image = { file: beside, kind };
      await coded("volume-create-failed", volume, () => mount(volume, image, begin));
      const { free } = await unmount(volume, image, REMOVE_WAIT_MS);
      if (!free) throw await volumeHeld(volume, beside);
    });
  };

  /** The record of the key comes first: data without one could never be read. */
  const makePersistent = async (volume: NewVolume): Promise<void> => {
    await using undo = new AsyncDisposableStack();
    using key = await keys.create(volume);
    undo.defer(() => keys.destroy(volume));
    await makeKept(volume, "persistent", (dir) => directory.begin(dir, key));
    undo.move();
  };

  const attachTransient = async (volume: NewVolume, owner: VolumeOwner): Promise<void> => {
    const image = imageOf(volume, "transient");
    await unmount(volume, image, DETACH_WAIT_MS);
    await destroy(volume, "transient");
    await makeImage(image.file, volume, commands, async () => undefined);
    using key: Secret = newVolumeKey();
    await mount(volume, image, async (dir) => {
      await directory.begin(dir, key);
      await giveTo(dataDir(volume), owner, commands);
    });
  };

  const attachPersistent = async (volume: NewVolume, owner: VolumeOwner): Promise<void> => {
    const image = imageOf(volume, "persistent");
    if (!(await exists(image.file))) throw volumeMissing(volume);
    using key = await keys.open(volume);
    if (!(await isMountPoint(mountDir(volume)))) await fillImage(image.file, volume, commands);
    await mount(volume, image, async (dir) => {
      await directory.open(dir, volume, key);
      await giveTo(dataDir(volume), owner, commands);
    });
  };

  const attachSliced = async (volume: NewVolume, policy: SliceSpec, owner: VolumeOwner): Promise<void> => {
    const image = imageOf(volume, "sliced");
    if (!(await exists(image.file))) throw volumeMissing(volume);
    if (!(await isMountPoint(mountDir(volume)))) await fillImage(image.file, volume, commands);
    await mount(volume, image, (dir) => slices.openAll(dir, volume, policy, owner));
  };

  const kindOf = async (ref: VolumeRef): Promise<Kind | null> => {
    for (const kind of ["persistent", "sliced", "transient"] as const) {
      if (await exists(imageFile(ref, kind))) return kind;
    }
    return null;
  };

  /** Null where it is not mounted, or not cut. */
  const slicedMount = async (ref: VolumeRef): Promise<string | null> => {
    const dir = mountDir(ref);
    return (await kindOf(ref)) === "sliced" && (await isMountPoint(dir)) ? dir : null;
  };

  const look = async (ref: VolumeRef): Promise<ObservedVolume | null> => {
    const kind = await kindOf(ref);
    if (kind === null) return null;
    const found = await stat(imageFile(ref, kind)).catch(nullIfMissing);
    if (found === null) return null;
    const { instrument, id } = ref;
    const mounted = await isMountPoint(mountDir(ref));
    const common = { instrument, id, sizeBytes: found.size, mounted };
    if (kind !== "sliced") return { ...common, kind };
    const cut = await slices.observe(mounted ? mountDir(ref) : null, ref).catch(async (error: unknown) => {
      if (!mounted || (await isMountPoint(mountDir(ref)))) throw error;
      // It was detached while it was looked at.
      return slices.observe(null, ref);
    });
    return { ...common, kind: "persistent", slices: cut };
  };

  return {
    dataDir,
    find: look,
    async create(volume) {
      const present = await kindOf(volume);
      const kind = volume.slices === undefined ? volume.kind : "sliced";
      if (present === null) {
        return kind === "sliced"
          ? makeKept(volume, kind, (dir) => slices.begin(dir))
          : makePersistent(volume);
      }
      if (present === kind) return;
      throw new WardenError("volume-kind-differs", `${renderVolume(volume)} is there, and ${present}`, {
        fields: { instrument: volume.instrument, id: volume.id, present },
      });
    },
    async grow(volume, sizeBytes) {
      const kind = await kindOf(volume);
      if (kind === null) throw volumeMissing(volume);
      const file = imageFile(volume, kind);
      if (sizeBytes > (await stat(file)).size) await growImage(file, volume, sizeBytes, commands);
    },
    async attach(volume, owner) {
      if (volume.kind === "transient") await attachTransient(volume, owner);
      else if (volume.slices === undefined) await attachPersistent(volume, owner);
      else await attachSliced(volume, volume.slices, owner);
    },
    async detach(volume) {
      const kind = await kindOf(volume);
      if (kind === null) return;
      // Held by a namespace of somebody else's, it costs nothing: the next mount takes the same loop device.
      const { key } = await unmount(volume, imageOf(volume, kind), DETACH_WAIT_MS);
      if (kind === "transient") await destroy(volume, kind);
      if (key === "held") throw keyHeld(volume);
    },
    async openSlice(volume, slice, owner) {
      const dir = await slicedMount(volume);
      if (dir !== null) await slices.open(dir, volume, slice, owner);
    },
    async destroySlice(volume, slice) {
      await slices.destroy(await slicedMount(volume), volume, slice);
    },
    async remove(volume) {
      await keys.destroy(volume);
      const kind = await kindOf(volume);
      if (kind === null) return;
      const { free } = await unmount(volume, imageOf(volume, kind), REMOVE_WAIT_MS);
      if (!free) throw await volumeHeld(volume, imageFile(volume, kind));
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

interface Image {
  readonly file: string;
  readonly kind: Kind;
}

interface Unmounted {
  readonly key: KeyStatus;
  readonly free: boolean;
}

async function exists(path: string): Promise<boolean> {
  return (await stat(path).catch(nullIfMissing)) !== null;
}

async function namesIn(dir: string): Promise<readonly string[]> {
  const entries = (await readdir(dir).catch(nullIfMissing)) ?? [];
  return entries.filter((entry) => Name.safeParse(entry).success);
}

/** `data.img`, `run.transient.img` and `records.slices.img`; everything else is none of ours, or not finished. */
function parseFileName(instrument: string, file: string): VolumeRef | null {
  for (const kind of ["transient", "sliced", "persistent"] as const) {
    if (!file.endsWith(SUFFIX[kind])) continue;
    const id = Name.safeParse(file.slice(0, -SUFFIX[kind].length));
    if (id.success) return { instrument, id: id.data };
  }
  return null;
}
