/** Options that say which TPM opens a vault, and by which of its registers. */
import { DEFAULT_TPM, TpmPlace } from "@bulkhead/schema";
import type { Command } from "commander";
import * as z from "zod";
import { CliError } from "../error.ts";

export function withTpmOptions(one: Command): Command {
  return one
    .option("--tpm <tcti>", "with the method tpm: how the TPM is reached", DEFAULT_TPM.tcti)
    .option("--pcrs <list>", "with the method tpm: registers that must stay as they are", DEFAULT_TPM.pcrs);
}

/** Only what differs from the default, so that `rekey` keeps the place that the vault knows. */
export function tpmOf(options: { readonly tpm: string; readonly pcrs: string }): { tpm?: TpmPlace } {
  const parsed = TpmPlace.safeParse({ tcti: options.tpm, pcrs: options.pcrs });
  if (!parsed.success) throw new CliError("bad-argument", z.prettifyError(parsed.error), { exitCode: 2 });
  const { tcti, pcrs } = parsed.data;
  return tcti === DEFAULT_TPM.tcti && pcrs === DEFAULT_TPM.pcrs ? {} : { tpm: parsed.data };
}
