/** retention: what is kept and for how long, erasing for a request, and confirming the host's clock. */
import {
  API_ROUTES,
  ClockState,
  EraseReply,
  type InstallationLayout,
  RetentionReport,
} from "@bulkhead/schema";
import { type Command, InvalidArgumentError } from "commander";
import * as z from "zod";
import { command, contextOf } from "../command.ts";
import { CliError } from "../error.ts";
import { renderErased, renderRetention } from "../render/retention.ts";
import { askWarden } from "../warden-client.ts";

/** The shared options may stand before the verb as well as after it. */
interface Options {
  readonly installation: string;
  readonly json?: boolean;
  readonly before?: string;
}

export function retentionCommand(): Command {
  const retention = command("retention", "show what is kept, since when, for how long, and what is overdue", [
    "sudo bulkhead retention",
    "sudo bulkhead retention --json | jq '.rows[] | select(.breaches != [])'",
    "sudo bulkhead retention erase pdns --before 2026-11-01T00:00:00Z",
  ]).action(async (_options, self: Command) => {
    const { api, output } = contextOf(self.optsWithGlobals<Options>());
    const report = await api.get(API_ROUTES.retention.path, RetentionReport);
    output.result(report, () => renderRetention(report));
  });
  return retention.addCommand(eraseCommand().exitOverride()).addCommand(confirmClockCommand().exitOverride());
}

function eraseCommand(): Command {
  return command(
    "erase <instrument>",
    "have an instrument forget, and remove its events and log lines; exit code 1 where it did not confirm",
    ["sudo bulkhead retention erase pdns", "sudo bulkhead retention erase ids --before 2026-11-01T00:00:00Z"],
  )
    .option("--before <time>", "only what is older than this time (RFC 3339)", parseTime)
    .action(async (instrument: string, _options, self: Command) => {
      const options = self.optsWithGlobals<Options>();
      const { api, output } = contextOf(options);
      const path = API_ROUTES.retentionErase.path.replace("{instrument}", encodeURIComponent(instrument));
      const body = options.before === undefined ? {} : { before: options.before };
      const reply = await api.post(path, EraseReply, body);
      output.result(reply, () => renderErased(reply));
      if (!reply.complete) process.exitCode = 1;
    });
}

function confirmClockCommand(): Command {
  return command("confirm-clock", "say that this host's clock is right, after it was set", [
    "sudo bulkhead retention confirm-clock",
  ]).action(async (_options, self: Command) => {
    const { api, output, layout } = contextOf(self.optsWithGlobals<Options>());
    const clock = await api.post(API_ROUTES.retentionClock.path, ClockState);
    const forSlices = await confirmForSlices(layout);
    output.result(
      clock,
      () => `periods are counted by ${clock.now ?? "no time: the clock is implausible"}${forSlices}`,
    );
  });
}

/** What destroys keys has a clock of its own, which root alone can confirm. */
async function confirmForSlices(layout: InstallationLayout): Promise<string> {
  try {
    await askWarden(layout, "clockConfirm", z.looseObject({}));
    return "";
  } catch (error) {
    if (!(error instanceof CliError) || error.code !== "not-permitted") throw error;
    return "\nslices of volumes wait for root's word: sudo bulkhead retention confirm-clock";
  }
}

function parseTime(text: string): string {
  const parsed = z.iso.datetime({ offset: true }).safeParse(text);
  if (!parsed.success) throw new InvalidArgumentError("accepted: a time such as 2026-11-01T00:00:00Z");
  return new Date(parsed.data).toISOString();
}
