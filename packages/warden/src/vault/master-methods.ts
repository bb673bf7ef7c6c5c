/**
 * What each method does: makes the key that wraps the master key, and finds it again.
 *
 * Invariants: nothing but the method's own half is needed to find it; a new half is written before the record that
 * needs it, so that a crash between leaves the former method whole.
 */
import { randomBytes } from "node:crypto";
import { readFile } from "node:fs/promises";
import { DEFAULT_TPM, type InstallationLayout, type TpmPlace, type VaultMethod } from "@bulkhead/schema";
import type { Commands } from "../commands.ts";
import { WardenError } from "../error.ts";
import { writeFileAtomically } from "../site/atomic-file.ts";
import { nullIfMissing } from "../site/read-file.ts";
import type { MethodRecord } from "./master-record.ts";
import { newPassphraseRecord, passphraseKey } from "./passphrase.ts";
import { Secret } from "./secret.ts";
import { sealByTpm, unsealByTpm } from "./tpm.ts";

const KEY_BYTES = 32;

export interface MethodParts {
  readonly layout: Pick<InstallationLayout, "vaultKeyFile" | "runDir">;
  readonly commands: Commands;
}

/** A method with what it needs. */
export interface MethodChoice {
  readonly method: VaultMethod;
  readonly passphrase?: Secret | undefined;
  readonly tpm?: TpmPlace | undefined;
}

/** @throws WardenError `vault-passphrase-missing`, `vault-tpm-missing`, `vault-tpm-refused` */
export async function makeMethodKey(
  choice: MethodChoice,
  parts: MethodParts,
): Promise<{ readonly record: MethodRecord; readonly key: Secret }> {
  switch (choice.method) {
    case "file": {
      // One that is there wraps the present record: a new one in its place would lose that in a crash.
      const present = await readKeyFile(parts.layout.vaultKeyFile);
      if (present !== null) return { record: { kind: "file" }, key: present };
      const key = new Secret(randomBytes(KEY_BYTES));
      await writeFileAtomically(parts.layout.vaultKeyFile, key.bytes);
      return { record: { kind: "file" }, key };
    }
    case "passphrase": {
      if (choice.passphrase === undefined) throw passphraseMissing();
      const record = newPassphraseRecord();
      return { record, key: await passphraseKey(record, choice.passphrase) };
    }
    case "tpm": {
      const key = new Secret(randomBytes(KEY_BYTES));
      const place = choice.tpm ?? DEFAULT_TPM;
      return { record: await sealByTpm(key, place, tpmParts(parts)), key };
    }
  }
}

/**
 * @throws WardenError `vault-passphrase-missing`, `vault-key-file-missing`, `vault-tpm-missing`, `vault-tpm-refused`
 */
export async function findMethodKey(
  record: MethodRecord,
  passphrase: Secret | null,
  parts: MethodParts,
): Promise<Secret> {
  switch (record.kind) {
    case "file": {
      const key = await readKeyFile(parts.layout.vaultKeyFile);
      if (key !== null) return key;
      const { vaultKeyFile } = parts.layout;
      throw new WardenError("vault-key-file-missing", `${vaultKeyFile} is not there, or not 32 bytes`);
    }
    case "passphrase":
      if (passphrase === null) throw passphraseMissing();
      return passphraseKey(record, passphrase);
    case "tpm":
      return unsealByTpm(record, tpmParts(parts));
  }
}

async function readKeyFile(path: string): Promise<Secret | null> {
  const bytes = await readFile(path).catch(nullIfMissing);
  return bytes?.length === KEY_BYTES ? new Secret(bytes) : null;
}

function tpmParts({ layout, commands }: MethodParts) {
  return { commands, workDir: layout.runDir };
}

function passphraseMissing(): WardenError {
  return new WardenError("vault-passphrase-missing", "the vault waits for its passphrase");
}
