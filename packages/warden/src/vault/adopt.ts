/**
 * Adopt: takes over the vault of another sensor, out of a back-up, by its recovery phrase.
 *
 * Invariants: the keys are copied before the master record that opens them; nothing of the former vault of this
 * sensor is kept, and one that already holds volumes' keys is not replaced.
 */
import { cp, mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { PLATFORM_VOLUME } from "@bulkhead/schema";
import { WardenError } from "../error.ts";
import { KeyStore } from "./key-store.ts";
import type { MethodChoice } from "./master-methods.ts";
import { readMaster } from "./master-record.ts";
import { masterByPhrase, type VaultParts, writeWrapped } from "./vault.ts";

export interface Adoption extends MethodChoice {
  /** Holds `master.json` and `keys/` of the back-up; root's alone. */
  readonly from: string;
  readonly phrase: string;
}

/** @throws WardenError `vault-absent`, `vault-exists`, `vault-phrase-wrong`; those of makeMethodKey */
export async function adoptVault({ from, phrase, ...choice }: Adoption, parts: VaultParts): Promise<void> {
  const record = await readMaster(from);
  if (record === null) throw new WardenError("vault-absent", "the back-up holds no vault");
  using master = await masterByPhrase(record, phrase);
  const keysDir = join(parts.layout.vaultDir, "keys");
  const held = (await new KeyStore(keysDir).list()).filter(
    ({ instrument }) => instrument !== PLATFORM_VOLUME.instrument,
  );
  if (held.length > 0) {
    throw new WardenError("vault-exists", "this sensor's vault holds keys of instruments' volumes already");
  }
  await rm(keysDir, { recursive: true, force: true });
  await mkdir(keysDir, { recursive: true, mode: 0o700 });
  for (const ref of await new KeyStore(join(from, "keys")).list()) {
    const file = join(ref.instrument, `${ref.id}.json`);
    await mkdir(join(keysDir, ref.instrument), { recursive: true, mode: 0o700 });
    await cp(join(from, "keys", file), join(keysDir, file));
  }
  await writeWrapped(master, choice, parts, record.recovery);
}
