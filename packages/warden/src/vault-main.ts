/**
 * The vault's tool: what is done to a vault while no warden holds it. `init` makes one, `close` takes every key out of
 * the kernel after the processes have stopped, `adopt` takes over the vault of a back-up by its recovery phrase.
 *
 * One JSON request on stdin, one JSON answer on stdout; a failure is `{code, message}` and exit code 1. Secrets never
 * stand in arguments or environment.
 */
import { readFile } from "node:fs/promises";
import { text } from "node:stream/consumers";
import { parseArgs } from "node:util";
import {
  InstallationName,
  installationLayout,
  Settings,
  VaultAdopt,
  type VaultAnswer,
  VaultInit,
} from "@bulkhead/schema";
import { ZodError } from "zod";
import { hostCommands } from "./commands.ts";
import { WardenError } from "./error.ts";
import { adoptVault } from "./vault/adopt.ts";
import { platformVolume } from "./vault/platform-volume.ts";
import { Secret } from "./vault/secret.ts";
import { Vault } from "./vault/vault.ts";
import { imageVolumes } from "./volumes/image-volumes.ts";

async function main(): Promise<VaultAnswer> {
  const { values, positionals } = parseArgs({
    options: { installation: { type: "string" } },
    allowPositionals: true,
  });
  const layout = installationLayout(InstallationName.parse(values.installation));
  const commands = hostCommands();
  const parts = { layout, commands };
  if (process.getuid?.() !== 0) throw new WardenError("warden-not-root", "the vault is root's");
  const vault = await Vault.open(parts);
  switch (positionals[0]) {
    case "init": {
      const request = VaultInit.parse(JSON.parse(await text(process.stdin)));
      const { method } = vault.state;
      if (method !== null) return { made: false, method, recoveryPhrase: null };
      using passphrase = request.passphrase === undefined ? null : secretOf(request.passphrase);
      const choice = { ...request, passphrase: passphrase ?? undefined };
      return { made: true, method: request.method, recoveryPhrase: await Vault.create(choice, parts) };
    }
    case "adopt": {
      const request = VaultAdopt.parse(JSON.parse(await text(process.stdin)));
      using passphrase = request.passphrase === undefined ? null : secretOf(request.passphrase);
      await adoptVault({ ...request, passphrase: passphrase ?? undefined }, parts);
      return { made: true, method: request.method, recoveryPhrase: null };
    }
    case "close": {
      const settings = Settings.parse(JSON.parse(await readFile(layout.settingsFile, "utf8")));
      const volumes = imageVolumes(layout, commands, vault.keys);
      for (const volume of await volumes.observe()) await volumes.detach(volume);
      await platformVolume({ volumes, commands, layout, settings }).close();
      return { made: false, method: vault.state.method, recoveryPhrase: null };
    }
    default:
      throw new WardenError("vault-damaged", "usage: vault --installation NAME init|adopt|close");
  }
}

function secretOf(words: string): Secret {
  return new Secret(Buffer.from(words.normalize("NFC"), "utf8"));
}

main().then(
  (answer) => process.stdout.write(`${JSON.stringify(answer)}\n`),
  (error: unknown) => {
    const code =
      error instanceof WardenError
        ? error.code
        : error instanceof ZodError
          ? "bad-request"
          : "unexpected-error";
    const message = error instanceof Error ? error.message : String(error);
    process.stdout.write(`${JSON.stringify({ code, message })}\n`);
    process.exitCode = 1;
  },
);
