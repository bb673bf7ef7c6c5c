/**
 * The vault as the host shows it: what opens it, and what that is worth. Reads no secret.
 */
import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { type InstallationLayout, VaultMethod } from "@bulkhead/schema";
import * as z from "zod";
import { systemErrorCode } from "./error.ts";
import { absent, failed, type HostCheck, ok } from "./host-check.ts";

/** What matters here of the vault's own record. */
const MasterRecord = z.object({ method: z.object({ kind: VaultMethod }) });

export async function checkVault({ vaultDir, vaultKeyFile }: InstallationLayout): Promise<HostCheck> {
  const file = join(vaultDir, "master.json");
  let text: string;
  try {
    text = await readFile(file, "utf8");
  } catch (error) {
    const code = systemErrorCode(error);
    if (code === "EACCES") return failed("vault", `${file} is root's`, "run it with sudo");
    if (code !== "ENOENT") throw error;
    return absent("vault", "there is none yet", "`bulkhead setup` makes one");
  }
  const record = parseRecord(text);
  if (record === null) return failed("vault", `${file} is damaged`, "restore it from a back-up");
  const { kind } = record.method;
  if (kind !== "file") return ok("vault", `opened by ${kind}`);
  const key = await stat(vaultKeyFile).catch((error: unknown) => {
    if (systemErrorCode(error) === "ENOENT") return null;
    throw error;
  });
  if (key === null) {
    return failed(
      "vault",
      `${vaultKeyFile} is gone`,
      "open it with `bulkhead vault unlock --recovery`, then rekey",
    );
  }
  if (key.uid !== 0 || (key.mode & 0o077) !== 0) {
    return failed("vault", `${vaultKeyFile} can be read by others than root`, `chmod 600 ${vaultKeyFile}`);
  }
  return absent(
    "vault",
    "opened by a file beside it: whoever takes the whole disk has the key too",
    "`bulkhead vault rekey --method tpm`, or `passphrase`",
  );
}

function parseRecord(text: string): z.infer<typeof MasterRecord> | null {
  try {
    return MasterRecord.parse(JSON.parse(text));
  } catch {
    // Whatever is wrong with it, it is damaged.
    return null;
  }
}
