/** events: what the instruments said, past and live. */
import { API_ROUTES, Duration, EventRecord } from "@bulkhead/schema";
import { type Command, InvalidArgumentError } from "commander";
import { command, contextOf } from "../command.ts";
import { renderEvent } from "../render/event.ts";

export function eventsCommand(): Command {
  return command("events", "show events, and with --follow go on as they come", [
    "sudo bulkhead events --type suricata.alert --since 1h",
    "sudo bulkhead events --follow --instrument ids --json",
  ])
    .option("--follow", "go on until Ctrl-C")
    .option("--instrument <name>", "only this instrument's")
    .option("--type <type>", "only this type, such as suricata.alert")
    .option("--since <duration>", "only what was stored in the last 30s, 10m, 2h, 7d", parseSince)
    .option("--limit <n>", "at most so many of the past, the newest", "100")
    .action(async (options) => {
      const { api, output, signal } = contextOf(options);
      const query = {
        instrument: options.instrument,
        type: options.type,
        since: options.since,
        limit: options.limit,
        follow: options.follow === true ? "true" : undefined,
      };
      for await (const event of api.lines(API_ROUTES.events.path, EventRecord, query, signal)) {
        output.record(event, () => renderEvent(event));
      }
    });
}

function parseSince(text: string): string {
  const parsed = Duration.safeParse(text);
  if (!parsed.success) throw new InvalidArgumentError("accepted: a duration such as 30s, 10m, 2h or 7d");
  return new Date(Date.now() - parsed.data).toISOString();
}
