/**
 * The vault's tool, which knows keys where this package does not: the installed program, asked with JSON over stdin.
 */
import { type InstallationLayout, VaultAnswer } from "@bulkhead/schema";
import * as z from "zod";
import { askCommand } from "./command.ts";
import { HostError } from "./error.ts";

const Failure = z.strictObject({ code: z.string(), message: z.string() });
/** Deriving a key from a passphrase, a TPM's answer, or files that are slow to be let go. */
const TIMEOUT_MS = 120_000;

/** @throws HostError `host-vault-refused`, with the tool's own code in its message */
export async function askVault(
  layout: InstallationLayout,
  verb: "init" | "adopt" | "close",
  request: object = {},
): Promise<VaultAnswer> {
  const args = [vaultProgram(layout), "--installation", layout.name, verb];
  const options = { input: JSON.stringify(request), timeoutMs: TIMEOUT_MS };
  const { exitCode, stdout, stderr } = await askCommand(`${layout.nodeDir}/bin/node`, args, options);
  const answer: unknown = stdout.trim() === "" ? null : JSON.parse(stdout);
  if (exitCode === 0) return VaultAnswer.parse(answer);
  const failure = Failure.safeParse(answer);
  const words = failure.success
    ? `${failure.data.message} (${failure.data.code})`
    : stderr.trim().slice(0, 500);
  throw new HostError("host-vault-refused", words, {
    advice: failure.success ? `docs/errors.md says more about ${failure.data.code}` : "see the message",
  });
}

export function vaultProgram(layout: InstallationLayout): string {
  return `${layout.optDir}/vault.mjs`;
}
