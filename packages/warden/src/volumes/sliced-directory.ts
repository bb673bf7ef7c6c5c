/**
 * The directory `d/` of a volume that is cut in slices: root's own and not encrypted, and in it a directory for each
 * slice, encrypted with a key of its own and given to the instrument.
 *
 * Invariants: what a slice is called and when it appears is the host's alone, since nobody else can write to `d/`; it
 * appears whole, encrypted and with its owner. A slice without a record of its key is never opened again. Its key is
 * taken from the store, then from the kernel, and what it encrypted is removed only after that: a locked directory
 * takes no new names (fs/crypto: ENOKEY), so nothing in it can be exchanged under the removal.
 */
import { lstat, mkdir, readdir, rename } from "node:fs/promises";
import { join } from "node:path";
import { slicesToOpen } from "@bulkhead/core";
import { type ObservedSlice, SliceName, type SliceSpec } from "@bulkhead/schema";
import type { Commands } from "../commands.ts";
import { isWardenError, WardenError } from "../error.ts";
import { nullIfMissing } from "../site/read-file.ts";
import { type Fscrypt, identifierOf, type KeyStatus } from "../vault/fscrypt.ts";
import type { Secret } from "../vault/secret.ts";
import type { VolumeKeys } from "../vault/vault.ts";
import { giveTo } from "./give-to.ts";
import { coded, renderVolume } from "./volume-error.ts";
import type { VolumeOwner, VolumeRef } from "./volume-store.ts";

/** Files that an instrument closes in time are closed by then; others cost it its run. */
const CLOSE_WAIT_MS = 1_000;
/** Removing goes on at the next look, so that a crowd of files holds up nobody else. */
const REMOVE_MS = 10_000;
const UNFINISHED = ".new";

export interface SlicedDirectoryParts {
  readonly crypt: Fscrypt;
  readonly keys: VolumeKeys;
  readonly commands: Commands;
  /** The latest that it may be. */
  readonly latestMs: () => number;
}

export interface SlicedDirectory {
  /** On a file system that was just made. */
  begin(mountDir: string): Promise<void>;
  /** Removes what destructions left, and opens and makes what shall be open. @throws WardenError `volume-key-held`; those of `open` */
  openAll(mountDir: string, ref: VolumeRef, policy: SliceSpec, owner: VolumeOwner): Promise<void>;
  /** @throws as VolumeStore.openSlice */
  open(mountDir: string, ref: VolumeRef, slice: SliceName, owner: VolumeOwner): Promise<void>;
  /** `mountDir` null: it is not mounted, so that only its key can go. */
  destroy(mountDir: string | null, ref: VolumeRef, slice: SliceName): Promise<void>;
  /** Takes all keys out of the kernel. */
  close(mountDir: string): Promise<KeyStatus>;
  observe(mountDir: string | null, ref: VolumeRef): Promise<ObservedSlice[]>;
}

export function slicedDirectory({ crypt, keys, commands, latestMs }: SlicedDirectoryParts): SlicedDirectory {
  const dirOf = (mountDir: string, slice: SliceName) => join(mountDir, "d", SliceName.parse(slice));

  /** False: not all of it is gone yet. */
  const removeTree = async (dir: string): Promise<boolean> => {
    // rm(1) goes by file descriptors and follows no link, however deep it gets (coreutils, fts).
    const rm = ["rm", "--recursive", "--force", "--one-file-system", "--", dir];
    try {
      await commands.run(["nice", "-n", "19", ...rm], { timeoutMs: REMOVE_MS });
      return true;
    } catch (error) {
      if (isWardenError(error, "command-timeout")) return false;
      throw error;
    }
  };

  /** What a destruction leaves, once there is no record of its key. */
  const wipe = async (mountDir: string, slice: SliceName): Promise<KeyStatus> => {
    const dir = dirOf(mountDir, slice);
    if ((await lstat(dir).catch(nullIfMissing)) === null) return "absent";
    const policy = await crypt.policyOf(dir);
    const [status = "absent"] =
      policy === null ? [] : await crypt.removeKeys(mountDir, [policy], CLOSE_WAIT_MS);
    if (status === "absent") await removeTree(dir);
    return status;
  };

  const make = async (mountDir: string, dir: string, identifier: string, owner: VolumeOwner) => {
    const beside = `${dir}${UNFINISHED}`;
    await removeTree(beside);
    await mkdir(beside, { mode: 0o700 });
    await crypt.setPolicy(beside, identifier);
    await giveTo(beside, owner, commands);
    await rename(beside, dir);
  };

  /** Those that are there: opened with the keys that their policies name, or none of them. */
  const openExisting = async (
    mountDir: string,
    ref: VolumeRef,
    slices: readonly SliceName[],
    owner: VolumeOwner,
  ): Promise<void> => {
    const dirs = slices.map((slice) => dirOf(mountDir, slice));
    const policies = await crypt.policiesOf(dirs);
    using opened = new DisposableStack();
    const secrets: Secret[] = [];
    for (const [index, slice] of slices.entries()) {
      const of = { ...ref, slice };
      const key = opened.use(await keys.open(of));
      if (policies[index] !== identifierOf(key)) {
        const words = `${renderVolume(of)}: it is encrypted under another key than the vault has for it`;
        throw new WardenError("volume-key-differs", words, {
          fields: { instrument: ref.instrument, id: ref.id, slice },
        });
      }
      secrets.push(key);
    }
    await coded("slice-failed", ref, async () => {
      await crypt.addKeys(mountDir, secrets);
      // They may come from an instrument with other ids.
      for (const dir of dirs) await giveTo(dir, owner, commands);
    });
  };

  const open: SlicedDirectory["open"] = async (mountDir, ref, slice, owner) => {
    const of = { ...ref, slice };
    const dir = dirOf(mountDir, slice);
    if ((await lstat(dir).catch(nullIfMissing)) !== null) return openExisting(mountDir, ref, [slice], owner);
    const kept = (await keys.identifier(of)) !== null;
    using key = kept ? await keys.open(of) : await keys.create(of);
    await coded("slice-failed", of, async () => {
      await crypt.addKeys(mountDir, [key]);
      await make(mountDir, dir, identifierOf(key), owner);
    });
  };

  return {
    open,
    async begin(mountDir) {
      await mkdir(join(mountDir, "d"), { mode: 0o755 });
    },
    async openAll(mountDir, ref, policy, owner) {
      const kept = await keys.slices(ref);
      for (const slice of await slicesIn(mountDir)) {
        if (kept.includes(slice) || (await wipe(mountDir, slice)) === "absent") continue;
        const words = `${renderVolume({ ...ref, slice })}: its key is destroyed, and files are still open under it`;
        throw new WardenError("volume-key-held", words, {
          fields: { instrument: ref.instrument, id: ref.id, slice },
        });
      }
      const there = await slicesIn(mountDir);
      const left = there.filter((slice) => !kept.includes(slice));
      const wanted = slicesToOpen(policy, latestMs(), kept, left);
      const [existing, fresh] = [true, false].map((is) =>
        wanted.filter((slice) => there.includes(slice) === is),
      );
      await openExisting(mountDir, ref, existing ?? [], owner);
      for (const slice of fresh ?? []) {
        try {
          await open(mountDir, ref, slice, owner);
        } catch (error) {
          // An instrument that filled its volume must run to make room; until then the next look says so.
          if (!isWardenError(error, "volume-no-space")) throw error;
        }
      }
    },
    async destroy(mountDir, ref, slice) {
      await keys.destroy({ ...ref, slice });
      if (mountDir !== null) await wipe(mountDir, slice);
    },
    async close(mountDir) {
      const dirs = (await slicesIn(mountDir)).map((slice) => dirOf(mountDir, slice));
      const policies = (await crypt.policiesOf(dirs)).flatMap((policy) => policy ?? []);
      const statuses = await crypt.removeKeys(mountDir, policies, CLOSE_WAIT_MS);
      return statuses.find((status) => status !== "absent") ?? "absent";
    },
    async observe(mountDir, ref) {
      const kept = await keys.slices(ref);
      if (mountDir === null) return kept.map((slice) => ({ slice, kept: true, key: "absent" }));
      const there = await slicesIn(mountDir);
      const found: { slice: SliceName; kept: boolean; identifier: string | null }[] = [];
      for (const slice of [...new Set([...kept, ...there])].toSorted()) {
        const known = kept.includes(slice) ? await keys.identifier({ ...ref, slice }).catch(damaged) : null;
        const policy =
          known === null && there.includes(slice) ? await crypt.policyOf(dirOf(mountDir, slice)) : known;
        found.push({ slice, kept: kept.includes(slice), identifier: policy });
      }
      const asked = found.flatMap(({ identifier }) => identifier ?? []);
      const statuses = await crypt.keyStatuses(mountDir, asked);
      return found.map(({ slice, kept: hasRecord, identifier }) => {
        const key = identifier === null ? "absent" : (statuses[asked.indexOf(identifier)] ?? "absent");
        return { slice, kept: hasRecord, key };
      });
    },
  };
}

/** Unfinished ones, and what else root may have put there, are none. */
async function slicesIn(mountDir: string): Promise<readonly SliceName[]> {
  const names = (await readdir(join(mountDir, "d")).catch(nullIfMissing)) ?? [];
  return names.filter((name) => SliceName.safeParse(name).success).toSorted();
}

/** For `.catch`: its opening says what is wrong with it. */
function damaged(error: unknown): null {
  if (isWardenError(error, "volume-key-damaged")) return null;
  throw error;
}
