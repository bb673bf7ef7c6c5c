/** network: what network each instrument has, what passed it, and what was refused. */
import { API_ROUTES, NetworkStatus } from "@bulkhead/schema";
import type { Command } from "commander";
import { command, contextOf } from "../command.ts";
import { CliError } from "../error.ts";
import { renderNetwork } from "../render/network.ts";

export function networkCommand(): Command {
  return command("network [instrument]", "networks: addresses, what may pass, counters, last refusals", [
    "sudo bulkhead network",
    "sudo bulkhead network pot --json",
  ]).action(async (instrument: string | undefined, options) => {
    const { api, output } = contextOf(options);
    const { instruments } = await api.get(API_ROUTES.network.path, NetworkStatus);
    const chosen = instruments.filter((i) => instrument === undefined || i.instrument === instrument);
    if (instrument !== undefined && chosen.length === 0) {
      const known = instruments.map((i) => i.instrument).join(", ");
      throw new CliError("unknown-instrument", `the site has no instrument ${instrument}`, {
        advice: `accepted: ${known}`,
        exitCode: 2,
      });
    }
    const status: NetworkStatus = { instruments: chosen };
    output.result(status, () => renderNetwork(status));
  });
}
