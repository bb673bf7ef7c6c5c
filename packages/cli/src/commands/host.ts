/** The host's side: setup, up, down, doctor. */
import { checkHost, down, processes, purge, type PurgeOutcome, setup, up } from "@bulkhead/host";
import { type InstallationLayout, type VaultInit, VaultMethod } from "@bulkhead/schema";
import { type Command, Option } from "commander";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { askNewSecret } from "../ask-secret.ts";
import { command, type Context, contextOf } from "../command.ts";
import { renderChecks, renderProcesses } from "../render/checks.ts";
import { progressPrinter } from "../render/progress.ts";
import { renderPhrase } from "../render/vault.ts";
import { tpmOf, withTpmOptions } from "./tpm-options.ts";
import { parseSize } from "./vault.ts";

export function hostCommands(): readonly Command[] {
  return [
    withTpmOptions(
      command("setup", "install what is missing and build what is needed; start nothing", [
        "sudo ./bulkhead setup",
        "sudo ./bulkhead setup --runtime incus",
        "sudo ./bulkhead setup --vault passphrase --platform-size 4GiB",
      ])
        .addOption(runtimeOption())
        .option(
          "--platform-size <size>",
          "room for events and records, before the vault is made; grows later",
        )
        .option("--json-recovery", "with --json: put the recovery phrase of a new vault into the result too")
        .addOption(vaultOption()),
    ).action(async (options) => {
      const { installation, layout, output, signal } = contextOf(options);
      let recoveryPhrase: string | null = null;
      const settings = await setup(
        {
          installation,
          runtime: options.runtime,
          vault: await vaultInit(options, layout),
          ...(options.platformSize === undefined ? {} : { platformBytes: parseSize(options.platformSize) }),
          onRecoveryPhrase: (phrase) => {
            recoveryPhrase = phrase;
            output.note(renderPhrase(phrase));
          },
          signal,
          onChecks: (checks) => output.note(renderChecks(checks)),
        },
        progressPrinter(),
      );
      const shown = options.jsonRecovery === true ? { ...settings, recoveryPhrase } : settings;
      output.result(shown, () => "Set up. Next: sudo ./bulkhead up");
    }),
    command("up", "start the sensor's processes; the site in force is held again", [
      "sudo ./bulkhead up",
    ]).action(async (options) => {
      const { installation, output, signal } = contextOf(options);
      const all = await up({ installation, signal }, progressPrinter());
      output.result(all, () => renderProcesses(all));
    }),
    command("down", "stop instruments and processes; data stays unless --purge", [
      "sudo ./bulkhead down",
      "sudo ./bulkhead down --purge",
      "sudo ./bulkhead down --purge --packages",
    ])
      .option("--purge", "remove everything that this installation made on the host, data included")
      .option("--packages", "with --purge: also the Debian packages that set-up had installed")
      .action(async (options) => {
        const context = contextOf(options);
        if (options.purge === true) await purgeAndReport(context, options.packages === true);
        else await downAndReport(context);
      }),
    command("doctor", "check the host and the sensor's processes", ["sudo ./bulkhead doctor"]).action(
      async (options) => {
        const { installation, layout, output, signal } = contextOf(options);
        const checks = await checkHost(layout, { phase: "doctor", signal });
        const all = await processes(installation);
        output.result({ checks, processes: all }, () => `${renderChecks(checks)}\n\n${renderProcesses(all)}`);
        if (checks.some((check) => check.state === "failed")) process.exitCode = 1;
      },
    ),
  ];
}

export function runtimeOption(): Option {
  return new Option("--runtime <kind>", "container runtime to use").choices(["lxd", "incus"]);
}

function vaultOption(): Option {
  return new Option("--vault <method>", "what opens the vault that is made")
    .choices(VaultMethod.options)
    .default("file");
}

/** A passphrase is asked for only where a vault is going to be made. */
async function vaultInit(
  options: { readonly vault: VaultMethod; readonly tpm: string; readonly pcrs: string },
  layout: InstallationLayout,
): Promise<VaultInit> {
  const isNew = !existsSync(join(layout.vaultDir, "master.json"));
  const asks = options.vault === "passphrase" && isNew;
  return {
    method: options.vault,
    ...(asks ? { passphrase: await askNewSecret("Passphrase of the vault") } : {}),
    ...tpmOf(options),
  };
}

async function downAndReport({ installation, output, signal }: Context): Promise<void> {
  const outcome = await down({ installation, signal }, progressPrinter());
  output.result(outcome, () =>
    outcome.instruments === "stopped"
      ? "Down. Data is kept; sudo ./bulkhead up goes on where it was."
      : `The processes are stopped, but instruments may still run: ${outcome.reason}. Try: sudo ./bulkhead down --purge`,
  );
  if (outcome.instruments === "left") process.exitCode = 1;
}

async function purgeAndReport({ installation, output, signal }: Context, packages: boolean): Promise<void> {
  const outcome = await purge({ installation, packages, signal }, progressPrinter());
  output.result(outcome, () => renderPurge(outcome));
  if (outcome.errors.length > 0) process.exitCode = 1;
}

function renderPurge({ removed, errors }: PurgeOutcome): string {
  const lines = removed.map((what) => `  removed ${what}`);
  const failures = errors.map((e) => `  could not: ${e.step}: ${e.message} (${e.code}) ${e.advice}`);
  const head =
    errors.length === 0 ? "Nothing of this installation is left." : "Some of it may still be there:";
  return [...lines, head, ...failures].join("\n");
}
