/** resources: what instruments published, who has it, and how old it is. */
import { API_ROUTES, ResourcesReport } from "@bulkhead/schema";
import type { Command } from "commander";
import { command, contextOf } from "../command.ts";
import { renderResources } from "../render/resources.ts";

export function resourcesCommand(): Command {
  return command("resources", "resources: version, size, age, who published them and who has them", [
    "sudo bulkhead resources",
    "sudo bulkhead resources --json | jq '.resources[].receivers[] | select(.state != \"taken\")'",
  ]).action(async (options) => {
    const { api, output } = contextOf(options);
    const report = await api.get(API_ROUTES.resources.path, ResourcesReport);
    output.result(report, () => renderResources(report, Date.now()));
  });
}
