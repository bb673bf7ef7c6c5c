/** What the rule manager says, for people. */
import type { RuleRollout, RulesDiff, RulesFindings, RulesStatus } from "../commands/rules.ts";
import { tone } from "../output.ts";
import { renderTable } from "./table.ts";

const MOST_LINES = 50;
const GOOD: ReadonlySet<string> = new Set(["applied", "accepted", "checked"]);
const BAD: ReadonlySet<string> = new Set(["refused", "held", "unknown"]);

export function renderRulesStatus({ sources, current, candidate, inForce }: RulesStatus): string {
  const feeds = renderTable(
    ["FEED", "VERSION", "OF", "DELIVERED (UTC)", "RULES", "STATE", ""],
    sources.map(({ name, version, publisher, delivered, rules, state, reason }) => [
      name,
      version,
      publisher,
      time(delivered),
      rules,
      coloured(state),
      reason,
    ]),
  );
  const ids = renderTable(
    ["IDS", "SET", "CONTENT"],
    inForce.map(({ ids, set, sha256 }) => [ids, set, sha256.slice(0, 12)]),
  );
  return [
    sources.length === 0 ? "No feed was delivered yet." : feeds,
    current === null ? "No set of the rule manager is in force." : `In force: ${headline(current)}`,
    ...(inForce.length === 0 ? [] : [ids]),
    ...(candidate === null ? [] : [`Candidate: ${headline(candidate)}`, ...targets(candidate)]),
  ].join("\n\n");
}

export function renderRulesHistory({ rollouts }: { readonly rollouts: readonly RuleRollout[] }): string {
  if (rollouts.length === 0) return "There was no set yet.";
  return renderTable(
    ["ID", "BEGUN (UTC)", "WHY", "WHO", "ADDED", "REMOVED", "CHANGED", "OUTCOME", ""],
    rollouts.map(({ id, created, why, who, counts, state, reason }) => [
      String(id),
      time(created),
      why,
      who,
      counts.added,
      counts.removed,
      counts.changed,
      coloured(state),
      reason,
    ]),
  );
}

export function renderRulesDiff({ rollout, state, counts, added, removed, changed }: RulesDiff): string {
  const lines = [
    ...added.map((each) => [tone("good", "+"), each] as const),
    ...removed.map((each) => [tone("bad", "-"), each] as const),
    ...changed.map((each) => [tone("warn", "~"), each] as const),
  ].map(([mark, { gid, sid, msg, revBefore, revAfter }]) => {
    const revision =
      revBefore === null || revAfter === null ? (revAfter ?? revBefore) : `${revBefore} → ${revAfter}`;
    return `${mark} ${gid}:${sid} rev ${revision}  ${msg}`;
  });
  const sums = `${counts.added} added, ${counts.removed} removed, ${counts.changed} changed`;
  return [`Rollout ${rollout} (${coloured(state)}): ${sums}`, ...cut(lines)].join("\n");
}

export function renderFindings({ rollout, state, reason, findings }: RulesFindings): string {
  const lines = findings.map(({ place, message }) =>
    place === null ? message : `${place.source}/${place.file}:${place.line}: ${message}`,
  );
  return [`Rollout ${rollout}: ${coloured(state)}${reason === "" ? "" : `: ${reason}`}`, ...cut(lines)].join(
    "\n",
  );
}

function headline({ id, state, why, who, sets, counts, reason }: RuleRollout): string {
  const sizes = sets.map(({ name, rules }) => `${name} ${rules.toLocaleString("en")} rules`).join(", ");
  const sums = `+${counts.added} -${counts.removed} ~${counts.changed}`;
  return `rollout ${id}, ${coloured(state)}${reason === "" ? "" : ` (${reason})`}: ${why}, by ${who}; ${sizes}; ${sums}`;
}

function targets({ targets }: RuleRollout): readonly string[] {
  if (targets.length === 0) return [];
  return [
    renderTable(
      ["IDS", "SET", "STATE", ""],
      targets.map(({ ids, set, state, detail }) => [ids, set, coloured(state), detail]),
    ),
  ];
}

function cut(lines: readonly string[]): readonly string[] {
  if (lines.length <= MOST_LINES) return lines;
  return [...lines.slice(0, MOST_LINES), `… and ${lines.length - MOST_LINES} more; --json has all of them`];
}

function coloured(state: string): string {
  if (GOOD.has(state)) return tone("good", state);
  return BAD.has(state) ? tone("bad", state) : state;
}

function time(text: string): string {
  return text.slice(0, 19).replace("T", " ");
}
