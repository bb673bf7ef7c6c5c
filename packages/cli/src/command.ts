/**
 * What all commands share: the options --installation and --json, examples below the help, and the
 * context that an action gets. An action's errors are rendered once, in main.ts.
 */
import {
  DEFAULT_INSTALLATION,
  type InstallationLayout,
  installationLayout,
  InstallationName,
} from "@bulkhead/schema";
import { Command, InvalidArgumentError } from "commander";
import { ApiClient } from "./api-client.ts";
import { outputTo, type Output } from "./output.ts";

export interface Context {
  readonly installation: string;
  readonly layout: InstallationLayout;
  readonly api: ApiClient;
  readonly output: Output;
  /** Aborted by Ctrl-C and SIGTERM. */
  readonly signal: AbortSignal;
}

interface CommonOptions {
  readonly installation: string;
  readonly json?: boolean;
}

/** A command with the shared options. `examples` are shown under its help. */
export function command(usage: string, summary: string, examples: readonly string[]): Command {
  const [name, ...operands] = usage.split(" ");
  const made = new Command(name).description(summary);
  for (const operand of operands) made.argument(operand);
  return made
    .option(
      "--installation <name>",
      "which installation on this host",
      parseInstallation,
      DEFAULT_INSTALLATION,
    )
    .option("--json", "machine-readable output on stdout")
    .addHelpText("after", `\nExamples:\n${examples.map((e) => `  $ ${e}`).join("\n")}`);
}

/** The context of one call, from the command's own options. */
export function contextOf(options: CommonOptions): Context {
  const layout = installationLayout(options.installation);
  const stopping = new AbortController();
  for (const name of ["SIGINT", "SIGTERM"] as const) process.once(name, () => stopping.abort());
  return {
    installation: options.installation,
    layout,
    api: new ApiClient(layout),
    output: outputTo(options.json === true),
    signal: stopping.signal,
  };
}

function parseInstallation(text: string): string {
  const parsed = InstallationName.safeParse(text);
  if (parsed.success) return parsed.data;
  throw new InvalidArgumentError(parsed.error.issues.map((issue) => issue.message).join("; "));
}
