/** vault: how the data of this sensor is kept, and what root can do about it. */
import {
  Name,
  PLATFORM_VOLUME,
  Size,
  VaultMethod,
  VaultRekeyReply,
  VaultState,
  VaultStatus,
  type VaultUnlock,
  VaultVolume,
} from "@bulkhead/schema";
import { Command, Option } from "commander";
import * as z from "zod";
import { askNewSecret, askSecret } from "../ask-secret.ts";
import { command, contextOf } from "../command.ts";
import { CliError } from "../error.ts";
import { renderPhrase, renderVault, renderVaultState } from "../render/vault.ts";
import { askWarden } from "../warden-client.ts";
import { tpmOf, withTpmOptions } from "./tpm-options.ts";

const Done = z.looseObject({});

export function vaultCommand(): Command {
  const vault = new Command("vault").description("how this sensor's data is encrypted, and what opens it");
  for (const one of [statusCommand(), unlockCommand(), growCommand(), destroyCommand(), rekeyCommand()]) {
    vault.addCommand(one.exitOverride());
  }
  return vault;
}

function statusCommand(): Command {
  return command("status", "show what opens the vault, and each volume with its key", [
    "sudo bulkhead vault status",
    "sudo bulkhead vault status --json | jq .volumes",
  ]).action(async (options) => {
    const { layout, output } = contextOf(options);
    const status = await askWarden(layout, "vault", VaultStatus);
    output.result(status, () => renderVault(status));
    if (status.state !== "unlocked") process.exitCode = 1;
  });
}

function unlockCommand(): Command {
  return command(
    "unlock",
    "open the vault: by its passphrase, again by its method, or by the recovery phrase",
    [
      "sudo bulkhead vault unlock",
      "sudo bulkhead vault unlock --recovery",
      "sudo bulkhead vault unlock < passphrase-file",
    ],
  )
    .option("--recovery", "by the recovery phrase of 24 words")
    .action(async (options) => {
      const { layout, output } = contextOf(options);
      const { method } = await askWarden(layout, "vault", VaultStatus);
      const request = await unlockRequest(options.recovery === true, method);
      const state = await askWarden(layout, "vaultUnlock", VaultState, request);
      output.result(state, () => renderVaultState(state));
      if (state.state !== "unlocked") process.exitCode = 1;
    });
}

async function unlockRequest(recovery: boolean, method: VaultMethod | null): Promise<VaultUnlock> {
  if (recovery) return { with: "recovery", phrase: await askSecret("Recovery phrase") };
  if (method !== "passphrase") return { with: "method" };
  return { with: "passphrase", passphrase: await askSecret("Passphrase") };
}

function growCommand(): Command {
  return command("grow <volume> <size>", "give a volume more room, while it is in use", [
    "sudo bulkhead vault grow pdns/db 4GiB",
    "sudo bulkhead vault grow platform 2GiB",
  ]).action(async (volume: string, size: string, options) => {
    const { layout, output } = contextOf(options);
    const request = { ...parseVolume(volume), sizeBytes: parseSize(size) };
    const grown = await askWarden(layout, "vaultGrow", VaultVolume, request);
    output.result(grown, () => `${volume} has ${size} now.`);
  });
}

function destroyCommand(): Command {
  return command(
    "destroy <instrument>",
    "destroy an instrument's keys, and with them its data and every copy of it",
    ["sudo bulkhead vault destroy pdns --yes"],
  )
    .option("--yes", "do it; without this it is only said what would be destroyed")
    .action(async (instrument: string, options) => {
      const { layout, output } = contextOf(options);
      const name = parseName(instrument);
      const { volumes } = await askWarden(layout, "vault", VaultStatus);
      const own = volumes.filter((volume) => volume.instrument === name).map(({ id }) => `${name}/${id}`);
      if (options.yes !== true) {
        const words = `${own.join(", ") || "no volume"} of ${name}, and its stored events, would be destroyed for good`;
        throw new CliError("not-confirmed", words, { advice: "add --yes to do it", exitCode: 2 });
      }
      await askWarden(layout, "vaultDestroy", Done, { instrument: name });
      output.result({ instrument: name, destroyed: own }, () =>
        own.length === 0
          ? `${name} keeps nothing.`
          : `Destroyed: ${own.join(", ")}. No copy of them can be opened any more.`,
      );
    });
}

function rekeyCommand(): Command {
  const rekey = command("rekey", "change what opens the vault, or its recovery phrase; no data is touched", [
    "sudo bulkhead vault rekey --method passphrase",
    "sudo bulkhead vault rekey --method tpm",
    "sudo bulkhead vault rekey --new-recovery",
  ])
    .option("--new-recovery", "make a new recovery phrase; the former one opens nothing any more")
    .addOption(new Option("--method <method>", "what opens it from now on").choices(VaultMethod.options));
  return withTpmOptions(rekey).action(async (options) => {
    const { layout, output } = contextOf(options);
    const { method: present } = await askWarden(layout, "vault", VaultStatus);
    const method: VaultMethod | undefined = options.method;
    const needsPassphrase = (method ?? present) === "passphrase";
    const request = {
      ...(method === undefined ? {} : { method }),
      ...(needsPassphrase ? { passphrase: await askNewSecret("New passphrase") } : {}),
      ...tpmOf(options),
      recovery: options.newRecovery === true,
    };
    const reply = await askWarden(layout, "vaultRekey", VaultRekeyReply, request);
    output.result(reply, () => `The vault is opened by ${reply.method}.`);
    if (reply.recoveryPhrase !== null && !output.json) output.note(renderPhrase(reply.recoveryPhrase));
  });
}

function parseVolume(text: string): { readonly instrument: string; readonly id: string } {
  if (text === PLATFORM_VOLUME.instrument) return PLATFORM_VOLUME;
  const [instrument, id, ...rest] = text.split("/");
  if (id === undefined || rest.length > 0) throw badArgument(text, "INSTRUMENT/VOLUME, or platform");
  return { instrument: parseName(instrument ?? ""), id: parseName(id) };
}

function parseName(text: string): string {
  const parsed = Name.safeParse(text);
  if (parsed.success) return parsed.data;
  throw badArgument(text, "a name such as ids");
}

export function parseSize(text: string): number {
  const parsed = Size.safeParse(text);
  if (parsed.success) return parsed.data;
  throw badArgument(text, "a size such as 256MiB or 2GiB");
}

function badArgument(text: string, accepted: string): CliError {
  return new CliError("bad-argument", `${JSON.stringify(text)}: accepted is ${accepted}`, { exitCode: 2 });
}
