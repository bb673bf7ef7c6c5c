/**
 * The one encrypted directory `d/` of a mounted volume: begun, opened and closed.
 *
 * Invariants: it is opened only with the key that its policy names, and only if the kernel then calls that key
 * present; it is closed by the policy that is there, so that closing needs no vault. The file system's root is the
 * host's alone, so nothing beside `d/` can have been put there by an instrument.
 */
import { lstat, mkdir } from "node:fs/promises";
import { join } from "node:path";
import { WardenError } from "../error.ts";
import { nullIfMissing } from "../site/read-file.ts";
import { type Fscrypt, identifierOf, type KeyStatus } from "../vault/fscrypt.ts";
import type { Secret } from "../vault/secret.ts";
import { renderVolume } from "./volume-error.ts";
import type { VolumeRef } from "./volume-store.ts";

/** After the container is gone its last files are closed within moments. */
const CLOSE_WAIT_MS = 5_000;

export interface EncryptedDirectory {
  /** On a file system that was just made. */
  begin(mountDir: string, key: Secret): Promise<void>;
  /** @throws WardenError `volume-damaged`, `volume-not-encrypted`, `volume-key-differs`, `volume-locked` */
  open(mountDir: string, ref: VolumeRef, key: Secret): Promise<void>;
  /** Takes the key out of the kernel. `held`: files are still open under it. */
  close(mountDir: string): Promise<KeyStatus>;
}

export function encryptedDirectory(crypt: Fscrypt): EncryptedDirectory {
  return {
    async begin(mountDir, key) {
      const dir = join(mountDir, "d");
      await mkdir(dir, { mode: 0o700 });
      await crypt.addKeys(mountDir, [key]);
      await crypt.setPolicy(dir, identifierOf(key));
    },
    async open(mountDir, ref, key) {
      const dir = join(mountDir, "d");
      const fields = { instrument: ref.instrument, id: ref.id };
      const found = await lstat(dir).catch(nullIfMissing);
      if (found?.isDirectory() !== true) {
        throw new WardenError("volume-damaged", `${renderVolume(ref)}: ${dir} is no directory`, { fields });
      }
      const policy = await crypt.policyOf(dir);
      if (policy === null) {
        const words = `${renderVolume(ref)}: its data is not encrypted; it is of another version, or was put there`;
        throw new WardenError("volume-not-encrypted", words, { fields });
      }
      if (policy !== identifierOf(key)) {
        const words = `${renderVolume(ref)}: its data is encrypted under another key than the vault has for it`;
        throw new WardenError("volume-key-differs", words, { fields });
      }
      await crypt.addKeys(mountDir, [key]);
    },
    async close(mountDir) {
      const dir = join(mountDir, "d");
      if ((await lstat(dir).catch(nullIfMissing)) === null) return "absent";
      const policy = await crypt.policyOf(dir);
      if (policy === null) return "absent";
      const [status = "absent"] = await crypt.removeKeys(mountDir, [policy], CLOSE_WAIT_MS);
      return status;
    },
  };
}
