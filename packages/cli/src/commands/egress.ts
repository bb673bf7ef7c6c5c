/** egress: which instrument may reach what through the proxy, by which line, and what it did lately. */
import { API_ROUTES, EgressRecord, EgressStatus, EventRecord } from "@bulkhead/schema";
import type { Command } from "commander";
import type * as z from "zod";
import { command, type Context, contextOf } from "../command.ts";
import { renderEgress } from "../render/egress.ts";

/** What the platform's events of the proxy hold. */
export const EgressHappening = EgressRecord.omit({ id: true });
export type EgressHappening = z.infer<typeof EgressHappening>;

const SHOWN = 20;

export function egressCommand(): Command {
  return command("egress", "the egress proxy: who may reach what, and connections and refusals lately", [
    "sudo bulkhead egress",
    "sudo bulkhead egress --json",
  ]).action(async (options) => {
    const context = contextOf(options);
    const status = await context.api.get(API_ROUTES.egress.path, EgressStatus);
    const connections = await lately(context, "egress.connection");
    const refusals = await lately(context, "egress.refused");
    context.output.result({ ...status, connections, refusals }, () =>
      renderEgress(status, connections, refusals),
    );
  });
}

/** The newest, oldest first. */
async function lately({ api, signal }: Context, type: string): Promise<readonly EgressHappening[]> {
  const found: EgressHappening[] = [];
  const query = { instrument: "platform", type, limit: String(SHOWN) };
  for await (const { data } of api.lines(API_ROUTES.events.path, EventRecord, query, signal)) {
    found.push(EgressHappening.parse(data));
  }
  return found;
}
