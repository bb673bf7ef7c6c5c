/**
 * fscrypt (v2 policies) through xfs_io: keys into and out of a mounted file system, and policies of directories.
 *
 * Invariants: a key goes over stdin alone; its identifier is computed here and compared with the directory's policy
 * before it is added, because the kernel takes a wrong key under another identifier and leaves the data locked; what
 * counts is the kernel's own word afterwards. Source: Documentation/filesystems/fscrypt.rst, xfs_io(8).
 */
import { hkdfSync, randomBytes } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import type { Commands } from "../commands.ts";
import { isWardenError, WardenError } from "../error.ts";
import { Secret } from "./secret.ts";

export const VOLUME_KEY_BYTES = 64;
export type KeyStatus = "present" | "absent" | "held";

const BUSY_POLL_MS = 50;
const STATUS_WORDS: Readonly<Record<string, KeyStatus>> = {
  Present: "present",
  Absent: "absent",
  "Incompletely removed": "held",
};

export function newVolumeKey(): Secret {
  return new Secret(randomBytes(VOLUME_KEY_BYTES));
}

/** 32 hex digits: HKDF-SHA512 over the key, as the kernel computes it (fs/crypto/hkdf.c, HKDF_CONTEXT_KEY_IDENTIFIER). */
export function identifierOf(key: Secret): string {
  return Buffer.from(hkdfSync("sha512", key.bytes, "", "fscrypt\0\x01", 16)).toString("hex");
}

export interface Fscrypt {
  /** Adds the key. @throws WardenError `volume-locked` if the kernel does not call it present afterwards */
  addKey(mountPoint: string, key: Secret): Promise<void>;
  /**
   * Removes the key, and waits up to `waitMs` until no file is open under it. Idempotent.
   * @returns what the kernel calls it in the end
   */
  removeKey(mountPoint: string, identifier: string, waitMs: number): Promise<KeyStatus>;
  keyStatus(mountPoint: string, identifier: string): Promise<KeyStatus>;
  /** Encrypts an empty directory from now on. */
  setPolicy(directory: string, identifier: string): Promise<void>;
  /** Identifier of the directory's key; null where it has no policy. @throws WardenError `volume-damaged` for one that is not v2 */
  policyOf(directory: string): Promise<string | null>;
}

export function fscrypt(commands: Commands): Fscrypt {
  const ask = async (place: string, command: string, input?: Uint8Array): Promise<string> => {
    const { stdout } = await commands.run(
      ["xfs_io", "-c", command, "--", place],
      input === undefined ? {} : { input },
    );
    return stdout;
  };
  const keyStatus = async (mountPoint: string, identifier: string): Promise<KeyStatus> => {
    const text = (await ask(mountPoint, `enckey_status ${hex(identifier)}`)).trim();
    const status = STATUS_WORDS[text.replace(/ \(.*\)$/s, "")];
    if (status !== undefined) return status;
    throw new WardenError("command-failed", `xfs_io says of a key: ${text.slice(0, 200)}`);
  };
  return {
    keyStatus,
    async addKey(mountPoint, key) {
      await ask(mountPoint, "add_enckey", key.bytes);
      if ((await keyStatus(mountPoint, identifierOf(key))) === "present") return;
      throw new WardenError("volume-locked", `${mountPoint}: the kernel did not take its key`);
    },
    async removeKey(mountPoint, identifier, waitMs) {
      const endMs = performance.now() + waitMs;
      for (;;) {
        const status = await keyStatus(mountPoint, identifier);
        if (status === "absent" || performance.now() > endMs) return status;
        try {
          await ask(mountPoint, `rm_enckey ${hex(identifier)}`);
        } catch (error) {
          // Gone between the question and the removal.
          if (!isWardenError(error) || !/Required key not available/.test(error.message)) throw error;
        }
        const after = await keyStatus(mountPoint, identifier);
        if (after === "absent") return after;
        await delay(BUSY_POLL_MS);
      }
    },
    async setPolicy(directory, identifier) {
      // 3: names padded to 32 bytes. The modes are those that every kernel with fscrypt has.
      await ask(directory, `set_encpolicy -v 2 -c AES-256-XTS -n AES-256-CTS -f 3 ${hex(identifier)}`);
    },
    async policyOf(directory) {
      let text: string;
      try {
        text = await ask(directory, "get_encpolicy");
      } catch (error) {
        if (isWardenError(error) && /No data available/.test(error.message)) return null;
        throw error;
      }
      const found = /^\s*Master key identifier: ([0-9a-f]{32})$/m.exec(text)?.[1];
      if (found !== undefined) return found;
      throw new WardenError("volume-damaged", `${directory}: an encryption policy that is not ours`);
    },
  };
}

/** It becomes a part of a command line that xfs_io splits at blanks. */
function hex(identifier: string): string {
  if (/^[0-9a-f]{32}$/.test(identifier)) return identifier;
  throw new RangeError("not a key identifier");
}
