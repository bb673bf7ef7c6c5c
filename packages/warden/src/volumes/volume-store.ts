/**
 * The port for instruments' storage: what the platform needs of a volume, whatever it is made of.
 *
 * Invariants: a volume's size is its quota and nobody else's loss; a persistent volume keeps its data until it is
 * removed; a transient one is new at each attach and gone at detach. Every method is idempotent. How data is kept is the
 * implementation's own; so far there is image-volumes.ts.
 */
import type { Observed, SliceName, SliceSpec } from "@bulkhead/schema";

export type ObservedVolume = Observed["volumes"][number];

export interface VolumeRef {
  readonly instrument: string;
  /** Id of the storage need. */
  readonly id: string;
}

/** A volume's key, or that of one of its slices. */
export interface KeyRef extends VolumeRef {
  readonly slice?: SliceName;
}

export interface NewVolume extends VolumeRef {
  readonly kind: "persistent" | "transient";
  readonly sizeBytes: number;
  /** Cut in slices with a key each; only what is persistent is. */
  readonly slices?: SliceSpec | undefined;
}

/** Who owns the data directory, as ids of the host. */
export interface VolumeOwner {
  readonly uid: number;
  readonly gid: number;
}

export interface VolumeStore {
  /** The directory that a container gets; there once the volume is attached. Pure. */
  dataDir(volume: VolumeRef): string;
  /**
   * Makes a persistent volume, empty; one that exists is left alone. Nothing is left where it fails.
   * @throws WardenError `volume-no-space`, `volume-kind-differs`, `volume-locked`
   */
  create(volume: NewVolume): Promise<void>;
  /**
   * Grows a volume, also while it is in use; where the host cannot grow a mounted file system, the space is reserved
   * now and there for the instrument from the next attach on. A size that is not larger changes nothing.
   * @throws WardenError `volume-no-space`, `volume-missing`
   */
  grow(volume: VolumeRef, sizeBytes: number): Promise<void>;
  /**
   * Makes the data directory available: a persistent volume is mounted, a transient one is made anew first.
   * Where it fails, nothing stays mounted and no key in the kernel.
   * @throws WardenError `volume-missing`, `volume-no-space`, `volume-mount-failed`, `volume-damaged`, `volume-locked`,
   *   `volume-not-encrypted`, `volume-key-missing`, `volume-key-damaged`, `volume-key-differs`
   */
  attach(volume: NewVolume, owner: VolumeOwner): Promise<void>;
  /**
   * Takes its key out of the kernel and it away from the host's own mounts; a transient volume is destroyed.
   * @throws WardenError `volume-busy` where a process of the host uses it, `volume-key-held` (it is unmounted then)
   */
  detach(volume: VolumeRef): Promise<void>;
  /**
   * Makes a slice of a volume that is attached, unless it is there, and opens it. Of one that is not attached nothing
   * is done: its attaching does.
   * @throws WardenError `volume-no-space`, `volume-locked`, `volume-key-damaged`, `volume-key-differs`, `slice-failed`
   */
  openSlice(volume: VolumeRef, slice: SliceName, owner: VolumeOwner): Promise<void>;
  /**
   * Destroys a slice's key for good, then what it encrypted, as far as that can be done at once; what is left is found
   * by `observe` as a slice that is not kept.
   */
  destroySlice(volume: VolumeRef, slice: SliceName): Promise<void>;
  /**
   * Destroys the volume's key at once, and its data once the kernel has let go.
   * @throws WardenError `volume-busy` {holders}
   */
  remove(volume: VolumeRef): Promise<void>;
  /** Null where there is none; also the platform's own. */
  find(volume: VolumeRef): Promise<ObservedVolume | null>;
  /** Those of instruments. */
  observe(): Promise<Observed["volumes"]>;
}
