/** plan and apply: what a site would do, and doing it. */
import { API_ROUTES, ApplyReply } from "@bulkhead/schema";
import type { Command } from "commander";
import { command, type Context, contextOf } from "../command.ts";
import { CliError } from "../error.ts";
import { tone } from "../output.ts";
import { renderFaults, renderPlan } from "../render/plan.ts";
import { planFile, stageSite } from "../stage-site.ts";

export function siteCommands(): readonly Command[] {
  return [
    command("plan <file>", "show what a site asks, grants and would do; change nothing", [
      "sudo bulkhead plan site.yaml",
      "sudo bulkhead plan site.yaml --json | jq .steps",
    ]).action(async (file: string, options) => {
      const { api, output } = contextOf(options);
      const plan = await planFile(file, api);
      const bad = plan.faults.length > 0;
      output.result(bad ? { faults: plan.faults } : plan, () => renderPlan(plan));
      if (bad) process.exitCode = 2;
    }),
    command("apply <file>", "make this site the sensor's own, whole or not at all", [
      "sudo bulkhead apply site.yaml",
    ]).action(async (file: string, options) => {
      const context = contextOf(options);
      const reply = await applyFile(file, context);
      if (reply === null) return;
      context.output.result(reply, () => renderReply(reply));
      if (reply.configs.some((config) => config.outcome === "refused")) process.exitCode = 1;
    }),
  ];
}

/** Null when the site has faults: they were printed, and the exit code is 2. */
export async function applyFile(file: string, { api, output, layout }: Context): Promise<ApplyReply | null> {
  const plan = await planFile(file, api);
  if (plan.faults.length > 0) {
    output.result({ faults: plan.faults }, () => renderFaults(plan.faults));
    process.exitCode = 2;
    return null;
  }
  await stageSite(file, plan.files, layout);
  return api.post(API_ROUTES.apply.path, ApplyReply).catch((error: unknown) => {
    if (!(error instanceof CliError)) throw error;
    throw new CliError(error.code, `${error.message}; the former site is in force`, {
      cause: error,
      ...(error.advice === null ? {} : { advice: error.advice }),
    });
  });
}

export function renderReply(reply: ApplyReply): string {
  const lines = [`${tone("good", "applied")} ${reply.version}, ${reply.steps} steps`];
  for (const config of reply.configs) {
    const mark =
      config.outcome === "applied"
        ? tone("good", "applied")
        : config.outcome === "refused"
          ? tone("bad", "refused")
          : tone("warn", "no answer yet");
    lines.push(`  ${config.instrument}: configuration ${mark}`);
    for (const fault of config.faults) {
      const place =
        fault.file === undefined ? "" : `${fault.file}${fault.line === undefined ? "" : `:${fault.line}`}: `;
      lines.push(`    ${place}${fault.message}`);
    }
    if (config.outcome === "refused") lines.push("    the former configuration goes on");
  }
  return lines.join("\n");
}
