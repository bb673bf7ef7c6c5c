/**
 * Volumes as image files: ext4 in a file of fixed size, mounted through a loop device. The size of the file is the
 * quota, because file systems without quotas are common and a file works everywhere.
 *
 * Invariants: a file is reserved whole when it is made, so an instrument gets "no space" only for its own data; it
 * appears under its name once it is formatted; mounts are nosuid,nodev; the container sees `d/` alone, never the file
 * system's root. Not encrypted: that comes behind the same port.
 */
import { chown, lstat, mkdir, readdir, rm, rmdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { type InstallationLayout, Name, type Observed } from "@bulkhead/schema";
import type { Commands } from "../commands.ts";
import { isMountPoint } from "../engine/host-mounts.ts";
import { WardenError } from "../error.ts";
import { nullIfMissing } from "../site/read-file.ts";
import { fillImage, growImage, keepIfUsed, makeImage } from "./image-file.ts";
import { awaitLoopDetach, loopDevicesOf } from "./loop-devices.ts";
import { mountHolders, shareMounts } from "./mount-holders.ts";
import { coded, renderVolume } from "./volume-error.ts";
import type { NewVolume, VolumeOwner, VolumeRef, VolumeStore } from "./volume-store.ts";

export type ImageVolumePlaces = Pick<InstallationLayout, "volumesDir" | "mountsDir">;

const DETACH_WAIT_MS = 3_000;
const REMOVE_WAIT_MS = 8_000;
/** The kind is told by the file's name, so that nothing else has to be kept in step. */
const SUFFIX = { persistent: ".img", transient: ".transient.img" } as const;
type Kind = keyof typeof SUFFIX;

export function imageVolumes(places: ImageVolumePlaces, commands: Commands): VolumeStore {
  const { volumesDir, mountsDir } = places;
  const imageFile = (ref: VolumeRef, kind: Kind) =>
    join(volumesDir, Name.parse(ref.instrument), `${Name.parse(ref.id)}${SUFFIX[kind]}`);
  const mountDir = (ref: VolumeRef) => join(mountsDir, Name.parse(ref.instrument), Name.parse(ref.id));
  const dataDir = (ref: VolumeRef) => join(mountDir(ref), "d");

  const mount = async (ref: VolumeRef, kind: Kind, owner: VolumeOwner): Promise<void> => {
    const [file, dir] = [imageFile(ref, kind), mountDir(ref)];
    await using undo = new AsyncDisposableStack();
    if (!(await isMountPoint(dir))) {
      await mkdir(dir, { recursive: true, mode: 0o700 });
      await shareMounts(mountsDir, commands);
      await fillImage(file, ref, commands);
      // No `discard`: it would give the file's reservation back.
      await coded("volume-mount-failed", ref, () =>
        commands.run(["mount", "-t", "ext4", "-o", "loop,nosuid,nodev,noatime", "--", file, dir]),
      );
      undo.defer(async () => void (await unmount(ref, kind, DETACH_WAIT_MS)));
    }
    await prepareDataDir(dataDir(ref), owner, ref);
    undo.move();
  };

  /** Unmounts on the host. False where the kernel still holds the file after `waitMs`: see mount-holders.ts. */
  const unmount = async (ref: VolumeRef, kind: Kind, waitMs: number): Promise<boolean> => {
    const dir = mountDir(ref);
    if (await isMountPoint(dir)) {
      await coded("volume-busy", ref, () => commands.run(["umount", "--", dir]));
    }
    return awaitLoopDetach(imageFile(ref, kind), waitMs);
  };

  const destroy = async (ref: VolumeRef, kind: Kind): Promise<void> => {
    await rm(imageFile(ref, kind), { force: true });
    await rmdir(mountDir(ref)).catch(nullIfMissing);
  };

  const kindOf = async (ref: VolumeRef): Promise<Kind | null> => {
    if (await exists(imageFile(ref, "persistent"))) return "persistent";
    return (await exists(imageFile(ref, "transient"))) ? "transient" : null;
  };

  const make = (volume: NewVolume): Promise<void> =>
    makeImage(imageFile(volume, volume.kind), volume, commands);

  return {
    dataDir,
    async create(volume) {
      const present = await kindOf(volume);
      if (present === null) return make(volume);
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
      if (volume.kind === "transient") {
        await unmount(volume, "transient", DETACH_WAIT_MS);
        await destroy(volume, "transient");
        await make(volume);
      }
      if (!(await exists(imageFile(volume, volume.kind)))) throw missing(volume);
      await mount(volume, volume.kind, owner);
    },
    async detach(volume) {
      const kind = await kindOf(volume);
      if (kind === null) return;
      // Held by a namespace of somebody else's, it costs nothing: the next mount takes the same loop device.
      await unmount(volume, kind, DETACH_WAIT_MS);
      if (kind === "transient") await destroy(volume, kind);
    },
    async remove(volume) {
      const kind = await kindOf(volume);
      if (kind === null) return;
      if (!(await unmount(volume, kind, REMOVE_WAIT_MS))) throw await held(volume, imageFile(volume, kind));
      await destroy(volume, kind);
      const instrument = Name.parse(volume.instrument);
      for (const dir of [volumesDir, mountsDir]) await rmdir(join(dir, instrument)).catch(keepIfUsed);
    },
    async observe() {
      const volumes: Observed["volumes"] = [];
      for (const instrument of await namesIn(volumesDir)) {
        for (const file of await readdir(join(volumesDir, instrument))) {
          const ref = parseFileName(instrument, file);
          if (ref === null) continue;
          const { size: sizeBytes } = await stat(join(volumesDir, instrument, file));
          volumes.push({ ...ref, sizeBytes, mounted: await isMountPoint(mountDir(ref)) });
        }
      }
      return volumes;
    },
  };
}

/** The file system's root is the host's alone, so nothing in it can have been put there by an instrument. */
async function prepareDataDir(dir: string, owner: VolumeOwner, ref: VolumeRef): Promise<void> {
  await mkdir(dir, { mode: 0o700 }).catch((error: unknown) => {
    if (!(error instanceof Error && "code" in error && error.code === "EEXIST")) throw error;
  });
  if (!(await lstat(dir)).isDirectory()) {
    throw new WardenError("volume-mount-failed", `${renderVolume(ref)}: ${dir} is no directory`, {
      fields: { ...ref },
    });
  }
  await chown(dir, owner.uid, owner.gid);
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
function parseFileName(instrument: string, file: string): (VolumeRef & { readonly kind: Kind }) | null {
  for (const kind of ["transient", "persistent"] as const) {
    if (!file.endsWith(SUFFIX[kind])) continue;
    const id = Name.safeParse(file.slice(0, -SUFFIX[kind].length));
    if (id.success) return { instrument, id: id.data, kind };
  }
  return null;
}
