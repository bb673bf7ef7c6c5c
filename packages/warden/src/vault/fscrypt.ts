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
  /** Adds keys. @throws WardenError `volume-locked` if the kernel does not call each present afterwards */
  addKeys(mountPoint: string, keys: readonly Secret[]): Promise<void>;
  /**
   * Removes keys, and waits up to `waitMs` until no file is open under any of them. Idempotent.
   * @returns what the kernel calls each in the end
   */
  removeKeys(
    mountPoint: string,
    identifiers: readonly string[],
    waitMs: number,
  ): Promise<readonly KeyStatus[]>;
  keyStatus(mountPoint: string, identifier: string): Promise<KeyStatus>;
  /** Of many keys at once, in their order. */
  keyStatuses(mountPoint: string, identifiers: readonly string[]): Promise<readonly KeyStatus[]>;
  /** Encrypts an empty directory from now on. */
  setPolicy(directory: string, identifier: string): Promise<void>;
  /** Identifier of the directory's key; null where it has no policy. @throws WardenError `volume-damaged` for one that is not v2 */
  policyOf(directory: string): Promise<string | null>;
  /** Of many at once, in their order. */
  policiesOf(directories: readonly string[]): Promise<readonly (string | null)[]>;
}

export function fscrypt(commands: Commands): Fscrypt {
  const askAll = async (place: string, asked: readonly string[], input?: Uint8Array): Promise<string> => {
    const { stdout } = await commands.run(
      ["xfs_io", ...asked.flatMap((command) => ["-c", command]), "--", place],
      input === undefined ? {} : { input },
    );
    return stdout;
  };
  const ask = (place: string, command: string, input?: Uint8Array) => askAll(place, [command], input);
  const keyStatuses = async (
    mountPoint: string,
    identifiers: readonly string[],
  ): Promise<readonly KeyStatus[]> => {
    if (identifiers.length === 0) return [];
    const asked = identifiers.map((identifier) => `enckey_status ${hex(identifier)}`);
    const lines = (await askAll(mountPoint, asked)).trim().split("\n");
    const found = lines.flatMap((line) => STATUS_WORDS[line.replace(/ \(.*\)$/, "")] ?? []);
    if (found.length === identifiers.length) return found;
    throw new WardenError("command-failed", `xfs_io says of keys: ${lines.join("; ").slice(0, 200)}`);
  };
  const keyStatus = async (mountPoint: string, identifier: string): Promise<KeyStatus> => {
    const [status] = await keyStatuses(mountPoint, [identifier]);
    if (status !== undefined) return status;
    throw new WardenError("command-failed", "xfs_io says nothing of a key");
  };
  const policyOf = async (directory: string): Promise<string | null> => {
    let text: string;
    try {
      text = await ask(directory, "get_encpolicy");
    } catch (error) {
      if (isWardenError(error) && /No data available/.test(error.message)) return null;
      throw error;
    }
    const found = identifierIn(text);
    if (found !== null) return found;
    throw new WardenError("volume-damaged", `${directory}: an encryption policy that is not ours`);
  };
  return {
    keyStatus,
    keyStatuses,
    async addKeys(mountPoint, keys) {
      for (const key of keys) await ask(mountPoint, "add_enckey", key.bytes);
      const statuses = await keyStatuses(mountPoint, keys.map(identifierOf));
      if (statuses.every((status) => status === "present")) return;
      throw new WardenError("volume-locked", `${mountPoint}: the kernel did not take its key`);
    },
    async removeKeys(mountPoint, identifiers, waitMs) {
      const endMs = performance.now() + waitMs;
      for (;;) {
        const statuses = await keyStatuses(mountPoint, identifiers);
        const left = identifiers.filter((_, index) => statuses[index] !== "absent");
        if (left.length === 0 || performance.now() > endMs) return statuses;
        try {
          await askAll(
            mountPoint,
            left.map((identifier) => `rm_enckey ${hex(identifier)}`),
          );
        } catch (error) {
          // Gone between the question and the removal.
          if (!isWardenError(error) || !/Required key not available/.test(error.message)) throw error;
        }
        const after = await keyStatuses(mountPoint, identifiers);
        if (after.every((status) => status === "absent")) return after;
        await delay(BUSY_POLL_MS);
      }
    },
    async setPolicy(directory, identifier) {
      // 3: names padded to 32 bytes. The modes are those that every kernel with fscrypt has.
      await ask(directory, `set_encpolicy -v 2 -c AES-256-XTS -n AES-256-CTS -f 3 ${hex(identifier)}`);
    },
    policyOf,
    async policiesOf(directories) {
      if (directories.length === 0) return [];
      try {
        const { stdout } = await commands.run(["xfs_io", "-c", "get_encpolicy", "--", ...directories]);
        const found = stdout
          .split(/^Encryption policy for /m)
          .slice(1)
          .map(identifierIn);
        if (found.length === directories.length && !found.includes(null)) return found;
      } catch (error) {
        // One that has none is told apart below.
        if (!isWardenError(error, "command-failed")) throw error;
      }
      return await Promise.all(directories.map(policyOf));
    },
  };
}

function identifierIn(text: string): string | null {
  return /^\s*Master key identifier: ([0-9a-f]{32})$/m.exec(text)?.[1] ?? null;
}

/** It becomes a part of a command line that xfs_io splits at blanks. */
function hex(identifier: string): string {
  if (/^[0-9a-f]{32}$/.test(identifier)) return identifier;
  throw new RangeError("not a key identifier");
}
