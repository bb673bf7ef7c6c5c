/**
 * Master record: the file that says how the sensor's master key is wrapped: by one method and, always, by the
 * recovery phrase. It holds no secret by itself: a copy of it needs the method's other half, or the phrase.
 */
import { join } from "node:path";
import * as z from "zod";
import { WardenError } from "../error.ts";
import { writeFileAtomically } from "../site/atomic-file.ts";
import { readIfPresent } from "../site/read-file.ts";
import { WrappedKey } from "./key-wrap.ts";
import { PassphraseRecord } from "./passphrase.ts";
import { TpmRecord } from "./tpm.ts";

/** The wrapping key lies in the installation's vaultKeyFile. */
const FileRecord = z.strictObject({ kind: z.literal("file") });

export const MethodRecord = z.discriminatedUnion("kind", [FileRecord, PassphraseRecord, TpmRecord]);
export type MethodRecord = z.infer<typeof MethodRecord>;

export const MasterRecord = z.strictObject({
  version: z.literal(1),
  method: MethodRecord,
  wrapped: WrappedKey,
  recovery: WrappedKey,
});
export type MasterRecord = z.infer<typeof MasterRecord>;

export function masterFile(vaultDir: string): string {
  return join(vaultDir, "master.json");
}

/** Null where no vault was made. @throws WardenError `vault-damaged` */
export async function readMaster(vaultDir: string): Promise<MasterRecord | null> {
  const text = await readIfPresent(masterFile(vaultDir));
  if (text === null) return null;
  try {
    return MasterRecord.parse(JSON.parse(text));
  } catch (cause) {
    const words = `${masterFile(vaultDir)} does not parse; restore it from a back-up`;
    throw new WardenError("vault-damaged", words, { cause });
  }
}

export async function writeMaster(vaultDir: string, record: MasterRecord): Promise<void> {
  await writeFileAtomically(masterFile(vaultDir), `${JSON.stringify(record, null, 2)}\n`);
}
