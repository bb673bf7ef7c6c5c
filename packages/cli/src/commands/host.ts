/** The host's side: setup, up, down, doctor. */
import { checkHost, down, processes, purge, type PurgeOutcome, setup, up } from "@bulkhead/host";
import { type Command, Option } from "commander";
import { command, type Context, contextOf } from "../command.ts";
import { renderChecks, renderProcesses } from "../render/checks.ts";
import { progressPrinter } from "../render/progress.ts";

export function hostCommands(): readonly Command[] {
  return [
    command("setup", "install what is missing and build what is needed; start nothing", [
      "sudo ./bulkhead setup",
      "sudo ./bulkhead setup --runtime incus",
    ])
      .addOption(runtimeOption())
      .action(async (options) => {
        const { installation, output, signal } = contextOf(options);
        const settings = await setup(
          {
            installation,
            runtime: options.runtime,
            signal,
            onChecks: (checks) => output.note(renderChecks(checks)),
          },
          progressPrinter(),
        );
        output.result(settings, () => "Set up. Next: sudo ./bulkhead up");
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
