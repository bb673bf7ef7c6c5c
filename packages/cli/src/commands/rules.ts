/** rules: what the rule manager has and does, through the sensor's door to its own API. */
import { setTimeout as delay } from "node:timers/promises";
import { API_ROUTES, SensorStatus } from "@bulkhead/schema";
import { Command } from "commander";
import * as z from "zod";
import { command, type Context, contextOf } from "../command.ts";
import { CliError } from "../error.ts";
import { renderFindings, renderRulesDiff, renderRulesHistory, renderRulesStatus } from "../render/rules.ts";
import { uiPath } from "./query.ts";

const Counts = z.looseObject({ added: z.int(), removed: z.int(), changed: z.int() });

const RuleRollout = z.looseObject({
  id: z.int(),
  created: z.string(),
  ended: z.string().nullable(),
  why: z.string(),
  who: z.string(),
  state: z.string(),
  reason: z.string(),
  sets: z.array(z.looseObject({ name: z.string(), rules: z.int() })),
  targets: z.array(
    z.looseObject({ ids: z.string(), set: z.string(), state: z.string(), detail: z.string() }),
  ),
  counts: Counts,
  findings: z.int(),
});
export type RuleRollout = z.infer<typeof RuleRollout>;

const RulesStatus = z.looseObject({
  settings: z.string().nullable(),
  sources: z.array(
    z.looseObject({
      name: z.string(),
      publisher: z.string(),
      version: z.string(),
      delivered: z.string(),
      rules: z.int(),
      state: z.string(),
      reason: z.string(),
    }),
  ),
  current: RuleRollout.nullable(),
  candidate: RuleRollout.nullable(),
  inForce: z.array(z.looseObject({ ids: z.string(), set: z.string(), sha256: z.string() })),
});
export type RulesStatus = z.infer<typeof RulesStatus>;

const RuleChange = z.looseObject({
  gid: z.int(),
  sid: z.int(),
  msg: z.string(),
  revBefore: z.int().nullable(),
  revAfter: z.int().nullable(),
});
const RulesDiff = z.looseObject({
  rollout: z.int(),
  state: z.string(),
  counts: Counts,
  added: z.array(RuleChange),
  removed: z.array(RuleChange),
  changed: z.array(RuleChange),
});
export type RulesDiff = z.infer<typeof RulesDiff>;

const RulesFindings = z.looseObject({
  rollout: z.int(),
  state: z.string(),
  reason: z.string(),
  findings: z.array(
    z.looseObject({
      place: z.looseObject({ source: z.string(), file: z.string(), line: z.int() }).nullable(),
      message: z.string(),
    }),
  ),
});
export type RulesFindings = z.infer<typeof RulesFindings>;

const RulesHistory = z.looseObject({ rollouts: z.array(RuleRollout) });
const Started = z.looseObject({ rollout: z.int(), state: z.string() });

const UNDER_WAY: ReadonlySet<string> = new Set(["checking", "applying", "rolling-back"]);
const POLL_MS = 500;
/** Suricata has a minute for a check, and two for what follows; more IDS take longer and go on by themselves. */
const WAIT_MS = 300_000;

export function rulesCommand(): Command {
  const rules = new Command("rules").description(
    "the rules of the IDS: sources, candidate, history, and orders",
  );
  const commands = [
    readCommand("status", "sources, the set in force, and the candidate", RulesStatus, renderRulesStatus),
    readCommand("diff", "what the newest set changes, rule by rule", RulesDiff, renderRulesDiff),
    readCommand(
      "findings",
      "what is wrong with the newest set, by file and line",
      RulesFindings,
      renderFindings,
    ),
    readCommand(
      "history",
      "sets of the past: when, why, who, and what became of them",
      RulesHistory,
      renderRulesHistory,
    ),
    applyCommand(),
    orderCommand("rollback", "bring the set back that was in force before", () => "v1/rollback"),
  ];
  for (const one of commands) rules.addCommand(one.exitOverride());
  return rules;
}

function readCommand<T>(
  verb: string,
  summary: string,
  type: z.ZodType<T>,
  render: (value: T) => string,
): Command {
  return command(verb, summary, [`sudo bulkhead rules ${verb}`, `sudo bulkhead rules ${verb} --json`]).action(
    async (options) => {
      const context = contextOf(options);
      const value = await context.api.get(await pathOf(context, `v1/${verb}`), type);
      context.output.result(value, () => render(value));
    },
  );
}

function applyCommand(): Command {
  return orderCommand("apply", "apply the candidate, also what was refused before", ({ acceptShrink }) =>
    acceptShrink === true ? "v1/accept-shrink" : "v1/apply",
  ).option("--accept-shrink", "although feeds or the set have lost many rules");
}

function orderCommand(
  verb: string,
  summary: string,
  pathFor: (options: { readonly acceptShrink?: boolean }) => string,
): Command {
  return command(verb, summary, [`sudo bulkhead rules ${verb}`])
    .option("--no-wait", "do not wait for what becomes of it")
    .action(async (options) => {
      const context = contextOf(options);
      const { rollout, state } = await context.api.post(await pathOf(context, pathFor(options)), Started);
      const outcome =
        options.wait === false
          ? { rollout, state, reason: "", findings: [] }
          : await outcomeOf(context, rollout);
      context.output.result(outcome, () => renderFindings(outcome));
      if (outcome.state !== "applied" && !UNDER_WAY.has(outcome.state)) process.exitCode = 1;
    });
}

async function outcomeOf(context: Context, rollout: number): Promise<RulesFindings> {
  const path = await pathOf(context, "v1/findings");
  const giveUpAt = performance.now() + WAIT_MS;
  for (;;) {
    const found = await context.api.get(path, RulesFindings, { rollout: String(rollout) });
    if (!UNDER_WAY.has(found.state) || performance.now() > giveUpAt || context.signal.aborted) return found;
    await delay(POLL_MS);
  }
}

/** @throws CliError `no-such-instrument` where the site runs none. */
async function pathOf({ api }: Context, path: string): Promise<string> {
  const { instruments } = await api.get(API_ROUTES.status.path, SensorStatus);
  const instrument = instruments.find((each) => each.package === "rule-manager");
  if (instrument === undefined) {
    throw new CliError("no-such-instrument", "the site runs no rule-manager", {
      advice: "add an instrument with package: rule-manager",
    });
  }
  return uiPath(instrument.name, path);
}
