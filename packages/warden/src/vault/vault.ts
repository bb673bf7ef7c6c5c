/**
 * Vault: the sensor's master key, in memory while unlocked, and the volumes' keys under it.
 *
 * Invariants: without the master key no volume's key is made or opened; each volume's key opens only for that volume;
 * changing the method or the phrase wraps the master key anew and touches no data; a record is replaced whole, so a
 * crash leaves the former way in. It decides nothing about containers.
 */
import { randomBytes } from "node:crypto";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import {
  NO_VAULT,
  type InstallationLayout,
  type SliceName,
  type VaultMethod,
  type VaultState,
} from "@bulkhead/schema";
import { isWardenError, WardenError } from "../error.ts";
import { renderVolume } from "../volumes/volume-error.ts";
import type { KeyRef, VolumeRef } from "../volumes/volume-store.ts";
import { identifierOf, newVolumeKey } from "./fscrypt.ts";
import { destroyFile, KeyStore } from "./key-store.ts";
import { unwrapKey, wrapKey } from "./key-wrap.ts";
import { findMethodKey, makeMethodKey, type MethodChoice, type MethodParts } from "./master-methods.ts";
import { type MasterRecord, masterFile, readMaster, writeMaster } from "./master-record.ts";
import { openPhrase, phraseOf, recoveryKey } from "./recovery-phrase.ts";
import { Secret } from "./secret.ts";

export interface VaultParts extends MethodParts {
  readonly layout: Pick<InstallationLayout, "vaultDir" | "vaultKeyFile" | "runDir">;
}

/** What the volumes need of the vault. */
export interface VolumeKeys {
  /** Makes and keeps a new key; one that was kept is lost. @throws WardenError `volume-locked` */
  create(ref: KeyRef): Promise<Secret>;
  /** @throws WardenError `volume-locked`, `volume-key-missing`, `volume-key-damaged` */
  open(ref: KeyRef): Promise<Secret>;
  /** The kept key's identifier, which is no secret; null where none is kept. */
  identifier(ref: KeyRef): Promise<string | null>;
  /** Of a volume, with those of its slices. */
  destroy(ref: KeyRef): Promise<void>;
  /** Of which slices of a volume keys are kept, the oldest first. */
  slices(ref: VolumeRef): Promise<readonly SliceName[]>;
}

export class Vault {
  readonly #parts: VaultParts;
  readonly #store: KeyStore;
  #record: MasterRecord | null;
  #master: Secret | null = null;
  #problem: VaultState["problem"] = null;

  private constructor(parts: VaultParts, record: MasterRecord | null) {
    this.#parts = parts;
    this.#store = new KeyStore(join(parts.layout.vaultDir, "keys"));
    this.#record = record;
  }

  /** The vault as it lies on disk, locked. @throws WardenError `vault-damaged` */
  static async open(parts: VaultParts): Promise<Vault> {
    return new Vault(parts, await readMaster(parts.layout.vaultDir));
  }

  /**
   * Makes the sensor's master key.
   * @returns the recovery phrase, which is kept nowhere
   * @throws WardenError `vault-exists`; those of makeMethodKey
   */
  static async create(choice: MethodChoice, parts: VaultParts): Promise<string> {
    const { vaultDir } = parts.layout;
    if ((await readMaster(vaultDir)) !== null) {
      throw new WardenError("vault-exists", `${masterFile(vaultDir)} is there already`);
    }
    await mkdir(join(vaultDir, "keys"), { recursive: true, mode: 0o700 });
    using master = new Secret(randomBytes(32));
    // Awaited here: the key is erased when this function ends.
    return await writeWrapped(master, choice, parts);
  }

  get state(): VaultState {
    if (this.#record === null) return NO_VAULT;
    const method = this.#record.method.kind;
    return this.#master === null
      ? { state: "locked", method, problem: this.#problem }
      : { state: "unlocked", method, problem: null };
  }

  get isOpen(): boolean {
    return this.#master !== null;
  }

  /** Unlocks by file or TPM; what hinders it is said in `state`, and is no failure of the caller's. */
  async unlockUnattended(): Promise<void> {
    try {
      await this.unlock(null);
    } catch (error) {
      if (!isWardenError(error)) throw error;
    }
  }

  /**
   * @throws WardenError `vault-absent`, `vault-passphrase-wrong`, `vault-damaged`; those of findMethodKey
   */
  async unlock(passphrase: Secret | null): Promise<void> {
    const record = this.#required();
    await this.#attempt(async () => {
      using key = await findMethodKey(record.method, passphrase, this.#parts);
      const master = unwrapKey(key, record.wrapped, methodPurpose(record.method.kind));
      if (master !== null) return master;
      if (record.method.kind === "passphrase") {
        throw new WardenError("vault-passphrase-wrong", "that passphrase does not open the vault");
      }
      const words = `the method ${record.method.kind} does not open the vault; the recovery phrase may`;
      throw new WardenError("vault-damaged", words);
    });
  }

  /** @throws WardenError `vault-absent`, `vault-phrase-wrong` */
  async unlockByPhrase(phrase: string): Promise<void> {
    const record = this.#required();
    await this.#attempt(async () => masterByPhrase(record, phrase));
  }

  /**
   * Wraps the master key anew.
   * @returns the new recovery phrase, if one was asked for
   * @throws WardenError `vault-locked`; those of makeMethodKey
   */
  async rekey(choice: Partial<MethodChoice>, newPhrase: boolean): Promise<string | null> {
    const record = this.#required();
    const master = this.#requireMaster();
    const method: VaultMethod = choice.method ?? record.method.kind;
    const former =
      record.method.kind === "tpm" ? { tcti: record.method.tcti, pcrs: record.method.pcrs } : undefined;
    const chosen = { ...choice, method, tpm: choice.tpm ?? former };
    const phrase = await writeWrapped(master, chosen, this.#parts, newPhrase ? null : record.recovery);
    this.#record = await readMaster(this.#parts.layout.vaultDir);
    if (method !== "file") await destroyFile(this.#parts.layout.vaultKeyFile);
    return newPhrase ? phrase : null;
  }

  /** Destroys every key, the master's first. What they encrypted is lost. */
  async destroy(): Promise<void> {
    const { vaultDir, vaultKeyFile } = this.#parts.layout;
    this.#master?.erase();
    this.#master = null;
    await destroyFile(vaultKeyFile);
    await destroyFile(masterFile(vaultDir));
    await this.#store.destroyAll();
    this.#record = null;
  }

  readonly keys: VolumeKeys = {
    create: async (ref) => {
      const master = this.#requireMaster();
      const key = newVolumeKey();
      const wrapped = wrapKey(master, key, volumePurpose(ref));
      await this.#store.write(ref, { version: 1, identifier: identifierOf(key), wrapped });
      return key;
    },
    open: async (ref) => {
      const master = this.#requireMaster();
      const record = await this.#store.read(ref);
      const fields = { instrument: ref.instrument, id: ref.id };
      if (record === null) {
        const words = `${renderVolume(ref)}: there is no record of its key`;
        throw new WardenError("volume-key-missing", words, { fields });
      }
      const key = unwrapKey(master, record.wrapped, volumePurpose(ref));
      if (key !== null && identifierOf(key) === record.identifier) return key;
      const words = `${renderVolume(ref)}: the record of its key is damaged, or another volume's or sensor's`;
      throw new WardenError("volume-key-damaged", words, { fields });
    },
    identifier: async (ref) => (await this.#store.read(ref))?.identifier ?? null,
    destroy: (ref) => this.#store.destroy(ref),
    slices: (ref) => this.#store.slices(ref),
  };

  async #attempt(find: () => Promise<Secret>): Promise<void> {
    try {
      const master = await find();
      this.#master?.erase();
      this.#master = master;
      this.#problem = null;
    } catch (error) {
      if (isWardenError(error)) this.#problem = { code: error.code, message: error.message };
      throw error;
    }
  }

  #required(): MasterRecord {
    if (this.#record !== null) return this.#record;
    throw new WardenError("vault-absent", "this sensor has no vault; `bulkhead setup` makes one");
  }

  #requireMaster(): Secret {
    if (this.#master !== null) return this.#master;
    throw new WardenError("volume-locked", "the vault is locked; `bulkhead vault unlock` opens it");
  }
}

/** @throws WardenError `vault-phrase-wrong` */
export async function masterByPhrase(record: MasterRecord, phrase: string): Promise<Secret> {
  using entropy = openPhrase(phrase);
  if (entropy !== null) {
    using key = recoveryKey(entropy);
    const master = unwrapKey(key, record.recovery, RECOVERY_PURPOSE);
    if (master !== null) return master;
  }
  const why =
    entropy === null ? "that is not 24 words of a recovery phrase" : "that phrase is of another vault";
  throw new WardenError("vault-phrase-wrong", why);
}

/** Writes the record. @returns a new phrase, or the empty text where the former `recovery` is kept */
export async function writeWrapped(
  master: Secret,
  choice: MethodChoice,
  parts: VaultParts,
  recovery: MasterRecord["recovery"] | null = null,
): Promise<string> {
  const { record: method, key } = await makeMethodKey(choice, parts);
  const wrapped = wrapKey(key, master, methodPurpose(method.kind));
  key.erase();
  if (recovery !== null) {
    await writeMaster(parts.layout.vaultDir, { version: 1, method, wrapped, recovery });
    return "";
  }
  using entropy = new Secret(randomBytes(32));
  using byPhrase = recoveryKey(entropy);
  const fresh = wrapKey(byPhrase, master, RECOVERY_PURPOSE);
  await writeMaster(parts.layout.vaultDir, { version: 1, method, wrapped, recovery: fresh });
  return phraseOf(entropy);
}

const RECOVERY_PURPOSE = "bulkhead master by recovery phrase";

function methodPurpose(method: VaultMethod): string {
  return `bulkhead master by ${method}`;
}

function volumePurpose({ instrument, id, slice }: KeyRef): string {
  return `bulkhead volume ${instrument}/${id} ${slice === undefined ? "persistent" : `slice ${slice}`}`;
}
