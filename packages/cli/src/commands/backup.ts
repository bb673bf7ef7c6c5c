/** backup and restore: a sensor's site, keys and data, to new hardware. */
import { existsSync } from "node:fs";
import { backup, restore } from "@bulkhead/host";
import { type VaultInit, VaultMethod } from "@bulkhead/schema";
import { type Command, Option } from "commander";
import { askNewSecret, askSecret } from "../ask-secret.ts";
import { command, contextOf } from "../command.ts";
import { progressPrinter } from "../render/progress.ts";
import { tpmOf, withTpmOptions } from "./tpm-options.ts";

export function backupCommands(): readonly Command[] {
  return [backupCommand(), restoreCommand()];
}

function backupCommand(): Command {
  return command(
    "backup <file>",
    "write site and wrapped keys to a file, and chosen volumes to FILE.images",
    [
      "sudo bulkhead backup /media/usb/sensor.backup",
      "sudo bulkhead stop pdns && sudo bulkhead backup sensor.backup --volume pdns/db",
    ],
  )
    .option(
      "--volume <volume>",
      "INSTRUMENT/VOLUME, or platform; may be given again; none may be in use",
      collect,
      [],
    )
    .action(async (file: string, options) => {
      const { installation, output, signal } = contextOf(options);
      const outcome = await backup(
        { installation, file, volumes: options.volume, signal },
        progressPrinter(),
      );
      output.result(outcome, () =>
        [
          `Written: ${outcome.file}${outcome.imagesFile === null ? "" : ` and ${outcome.imagesFile}`}.`,
          "They open with the recovery phrase alone. Keep the images apart from the file with the keys:",
          "a key that is destroyed later is gone for a copy of the image only where no copy of the key is kept.",
        ].join("\n"),
      );
    });
}

function restoreCommand(): Command {
  const made = command(
    "restore <file>",
    "bring a back-up to an installation that was set up and never started",
    [
      "sudo bulkhead setup && sudo bulkhead restore sensor.backup && sudo bulkhead up",
      "sudo bulkhead restore sensor.backup --vault tpm < recovery-phrase",
    ],
  )
    .option("--images <file>", "the archive of images; FILE.images where it is there")
    .addOption(
      new Option("--vault <method>", "what opens the vault here")
        .choices(VaultMethod.options)
        .default("file"),
    );
  return withTpmOptions(made).action(async (file: string, options) => {
    const { installation, output, signal } = contextOf(options);
    const phrase = await askSecret("Recovery phrase");
    const method: VaultMethod = options.vault;
    const vault: VaultInit = {
      method,
      ...(method === "passphrase" ? { passphrase: await askNewSecret("Passphrase of the vault") } : {}),
      ...tpmOf(options),
    };
    const beside = `${file}.images`;
    const imagesFile: string | undefined = options.images ?? (existsSync(beside) ? beside : undefined);
    const manifest = await restore(
      { installation, file, imagesFile, phrase, vault, signal },
      progressPrinter(),
    );
    output.result(manifest, () => "Restored. Next: sudo ./bulkhead up");
  });
}

function collect(value: string, former: readonly string[]): readonly string[] {
  return [...former, value];
}
