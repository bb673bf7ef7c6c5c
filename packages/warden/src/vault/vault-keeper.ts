/**
 * Vault keeper: the vault and the platform's volume as one thing that is open or not, and what root can ask of it.
 *
 * Invariants: it counts as unlocked only once the platform's volume is open, so that nothing runs of which no record
 * could be written; what hinders is kept as a coded problem and said in the sensor's state.
 */
import { dirname } from "node:path";
import {
  type InstallationLayout,
  PLATFORM_VOLUME,
  type VaultGrow,
  type VaultRekey,
  type VaultState,
  type VaultStatus,
  type VaultUnlock,
  type VaultVolume,
} from "@bulkhead/schema";
import type { Commands } from "../commands.ts";
import { isMountPoint } from "../engine/host-mounts.ts";
import { isWardenError, WardenError } from "../error.ts";
import type { Audit } from "../hold/ports.ts";
import type { ObservedVolume, VolumeStore } from "../volumes/volume-store.ts";
import { fscrypt } from "./fscrypt.ts";
import type { PlatformVolume } from "./platform-volume.ts";
import { Secret } from "./secret.ts";
import type { Vault } from "./vault.ts";

export interface VaultKeeperParts {
  readonly vault: Vault;
  readonly platform: PlatformVolume;
  readonly volumes: VolumeStore;
  readonly commands: Commands;
  readonly layout: Pick<InstallationLayout, "mountsDir">;
  readonly audit: Audit;
  /** The platform's volume is open: what waited for it can be written. */
  readonly onOpen: () => Promise<void>;
  /** The vault was opened, or something in it changed. */
  readonly onChange: () => void;
}

export class VaultKeeper {
  readonly #parts: VaultKeeperParts;
  #platformProblem: VaultState["problem"] = null;
  #platformOpen = false;

  constructor(parts: VaultKeeperParts) {
    this.#parts = parts;
  }

  /** Opens what opens unattended. What does not is said in `state`. */
  async start(): Promise<void> {
    const { vault, platform } = this.#parts;
    await vault.unlockUnattended();
    // From before a restart of this process: the key is in the kernel, and those who use it go on.
    this.#platformOpen = await platform.isOpen();
    if (vault.isOpen) await this.#openPlatform();
    else if (this.#platformOpen) await this.#parts.onOpen();
  }

  get state(): VaultState {
    const { state } = this.#parts.vault;
    if (state.state !== "unlocked" || this.#platformOpen) return state;
    return { ...state, state: "locked", problem: this.#platformProblem };
  }

  /** @throws WardenError as Vault.unlock and unlockByPhrase, and as PlatformVolume.open */
  async unlock(request: VaultUnlock): Promise<VaultState> {
    const { vault, audit } = this.#parts;
    try {
      if (request.with === "recovery") await vault.unlockByPhrase(request.phrase);
      else if (request.with === "method") await vault.unlock(null);
      else {
        using passphrase = secretOf(request.passphrase);
        await vault.unlock(passphrase);
      }
    } catch (error) {
      const code = isWardenError(error) ? error.code : "unexpected-error";
      await audit.append("vault.unlock.failed", "vault", { with: request.with, code });
      throw error;
    }
    await this.#openPlatform();
    await audit.append("vault.unlock", "vault", { with: request.with, open: this.#platformOpen });
    this.#parts.onChange();
    return this.state;
  }

  /** @returns the new recovery phrase, if one was asked for. @throws WardenError as Vault.rekey */
  async rekey({ method, passphrase, tpm, recovery }: VaultRekey): Promise<string | null> {
    const { vault, audit, onChange } = this.#parts;
    using secret = passphrase === undefined ? null : secretOf(passphrase);
    await audit.append("vault.rekey", "vault", { method: method ?? "as before", recovery });
    const phrase = await vault.rekey(
      { ...(method === undefined ? {} : { method }), passphrase: secret ?? undefined, tpm },
      recovery,
    );
    onChange();
    return phrase;
  }

  /** @throws WardenError `volume-missing`, `volume-no-space`, `volume-too-small` */
  async grow({ instrument, id, sizeBytes }: VaultGrow): Promise<VaultVolume> {
    const { volumes, audit, onChange } = this.#parts;
    const found = await volumes.find({ instrument, id });
    if (found !== null && sizeBytes < found.sizeBytes) {
      const words = `volume ${instrument}/${id} has ${found.sizeBytes} bytes; a volume does not shrink`;
      throw new WardenError("volume-too-small", words);
    }
    await audit.append("vault.grow", `${instrument}/${id}`, { sizeBytes });
    await volumes.grow({ instrument, id }, sizeBytes);
    onChange();
    const grown = await volumes.find({ instrument, id });
    if (grown === null) throw new WardenError("volume-missing", `volume ${instrument}/${id} is gone`);
    return this.#describe(grown);
  }

  async status(): Promise<VaultStatus> {
    const { volumes } = this.#parts;
    const platform = await volumes.find(PLATFORM_VOLUME);
    const all = [...(platform === null ? [] : [platform]), ...(await volumes.observe())];
    return { ...this.state, volumes: await Promise.all(all.map((volume) => this.#describe(volume))) };
  }

  /** Destroys all keys: nothing can be read any more, wherever a copy lies. */
  async destroyAll(): Promise<void> {
    await this.#parts.vault.destroy();
  }

  async #openPlatform(): Promise<void> {
    try {
      await this.#parts.platform.open();
      this.#platformOpen = true;
      this.#platformProblem = null;
      await this.#parts.onOpen();
    } catch (error) {
      this.#platformOpen = false;
      const code = isWardenError(error) ? error.code : "unexpected-error";
      this.#platformProblem = { code, message: error instanceof Error ? error.message : String(error) };
    }
  }

  async #describe({ slices, ...volume }: ObservedVolume): Promise<VaultVolume> {
    if (slices !== undefined) return { ...volume, slices: slices.length, key: keyOfAll(slices) };
    const { vault, volumes, commands } = this.#parts;
    const crypt = fscrypt(commands);
    const kept = volume.kind === "transient" || (await vault.keys.identifier(volume)) !== null;
    if (!kept) return { ...volume, key: "missing" };
    const dir = volumes.dataDir(volume);
    if (!(await isMountPoint(dirname(dir)))) return { ...volume, key: "absent" };
    const policy = await crypt.policyOf(dir);
    return { ...volume, key: policy === null ? "missing" : await crypt.keyStatus(dirname(dir), policy) };
  }
}

/** One that is held is what a person must know of; those that are not open may be past their period. */
function keyOfAll(slices: NonNullable<ObservedVolume["slices"]>): VaultVolume["key"] {
  return (["held", "present"] as const).find((key) => slices.some((slice) => slice.key === key)) ?? "absent";
}

function secretOf(text: string): Secret {
  return new Secret(Buffer.from(text.normalize("NFC"), "utf8"));
}
