/**
 * bulkhead: the command line. It has no authority of its own: it sets up the host as root, and
 * asks the sensor's API for everything else.
 *
 * Exit codes: 0 done, 1 failed, 2 bad input.
 */
import { Command, CommanderError } from "commander";
import { commandFirst } from "./argv.ts";
import { backupCommands } from "./commands/backup.ts";
import { auditCommand } from "./commands/audit.ts";
import { busCommands } from "./commands/bus.ts";
import { completionCommand } from "./commands/completion.ts";
import { demoCommand } from "./commands/demo.ts";
import { eventsCommand } from "./commands/events.ts";
import { grantCommands } from "./commands/grant.ts";
import { hostCommands } from "./commands/host.ts";
import { egressCommand } from "./commands/egress.ts";
import { networkCommand } from "./commands/network.ts";
import { newCommand } from "./commands/new.ts";
import { queryCommand } from "./commands/query.ts";
import { resourcesCommand } from "./commands/resources.ts";
import { retentionCommand } from "./commands/retention.ts";
import { rulesCommand } from "./commands/rules.ts";
import { sensorCommands } from "./commands/sensor.ts";
import { siteCommands } from "./commands/site.ts";
import { verifyCommand } from "./commands/verify.ts";
import { vaultCommand } from "./commands/vault.ts";
import { CliError } from "./error.ts";
import { sayAside, tone } from "./output.ts";

const program = new Command("bulkhead")
  .description("An open security sensor: every tool in a compartment of its own.")
  .version("0.1.0")
  .showHelpAfterError("(add --help for what is accepted)")
  .addHelpText(
    "after",
    `
In a checkout also:
  test [FILTER]    run the tests: unit, integration, end-to-end; --soak the long ones
  bench NAME       measure speed and cost: sensor, vault, start, noisy, rules; --quick for a short run

Examples:
  $ sudo ./bulkhead demo                 everything, on a machine with nothing installed
  $ sudo ./bulkhead explain ids          what may this instrument do, and who says so?
  $ sudo ./bulkhead down --purge         leave nothing behind`,
  );
const commands: readonly Command[] = [
  demoCommand(),
  ...hostCommands(),
  ...siteCommands(),
  ...sensorCommands(),
  eventsCommand(),
  ...busCommands(),
  resourcesCommand(),
  ...grantCommands(),
  auditCommand(),
  queryCommand(),
  rulesCommand(),
  retentionCommand(),
  networkCommand(),
  egressCommand(),
  verifyCommand(),
  vaultCommand(),
  ...backupCommands(),
  newCommand(),
  completionCommand(() => program),
];
for (const one of commands) program.addCommand(one);
for (const one of program.commands) one.exitOverride();
program.exitOverride();

program.parseAsync(commandFirst(process.argv.slice(2)), { from: "user" }).catch((error: unknown) => {
  process.exitCode = report(error);
});

/** Says what went wrong and what to do next; returns the exit code. */
function report(error: unknown): number {
  // commander has printed its own message: help and version end with 0, wrong usage with 2.
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
  const json = process.argv.includes("--json");
  const { code, message, advice } = wordsOf(error);
  if (json) process.stdout.write(`${JSON.stringify({ ok: false, error: { code, message, advice } })}\n`);
  const lines = [`${tone("bad", "bulkhead:")} ${message}`, ...(advice === "" ? [] : [`  ${advice}`])];
  sayAside(`${lines.join("\n")}  ${tone("dim", code)}`);
  return error instanceof CliError ? error.exitCode : 1;
}

/** Every package's error carries a code, and some an advice; anything else is our own mistake. */
function wordsOf(error: unknown): {
  readonly code: string;
  readonly message: string;
  readonly advice: string;
} {
  const message = error instanceof Error ? error.message : String(error);
  const read = (key: string): string => {
    const value: unknown = typeof error === "object" && error !== null ? Reflect.get(error, key) : undefined;
    return typeof value === "string" ? value : "";
  };
  return { code: read("code") || "unexpected-error", message, advice: read("advice") };
}
