/**
 * Flowbit dependencies: a rule that checks a bit is blind unless the rules that set it are on. Such
 * rules are enabled, without alerting by themselves. Pure.
 */
import { type Rule, ruleKey } from "./rule.ts";

const SETS: ReadonlySet<string> = new Set(["set", "setx", "unset", "toggle"]);
const CHECKS: ReadonlySet<string> = new Set(["isset", "isnotset"]);

/** The rules that are to be enabled for others' sake, by key. `usable` says which may be at all. */
export function neededForFlowbits(
  rules: Iterable<Rule>,
  usable: (rule: Rule) => boolean,
): ReadonlySet<number> {
  const setters = new Map<string, Rule[]>();
  const waiting: string[] = [];
  const asked = new Set<string>();
  const ask = (rule: Rule): void => {
    for (const bit of bitsOf(rule, CHECKS)) {
      if (asked.has(bit)) continue;
      asked.add(bit);
      waiting.push(bit);
    }
  };
  for (const rule of rules) {
    if (rule.flowbits.length === 0) continue;
    if (rule.enabled) ask(rule);
    else if (usable(rule)) {
      for (const bit of bitsOf(rule, SETS)) setters.set(bit, [...(setters.get(bit) ?? []), rule]);
    }
  }
  const needed = new Set<number>();
  for (let bit = waiting.pop(); bit !== undefined; bit = waiting.pop()) {
    for (const rule of setters.get(bit) ?? []) {
      if (needed.has(ruleKey(rule))) continue;
      needed.add(ruleKey(rule));
      ask(rule); // what it checks itself is needed, too
    }
  }
  return needed;
}

/** The rule enabled and without alerts of its own, written as suricata-update does. */
export function enableQuietly(rule: Rule): Rule {
  const text = rule.text.includes("noalert;")
    ? rule.text
    : rule.text.replaceAll(/( *sid: *[0-9]+;)/g, " noalert;$1");
  return { ...rule, enabled: true, quiet: true, text };
}

/** Several bits in one option are joined by `|`. */
function bitsOf({ flowbits }: Rule, commands: ReadonlySet<string>): readonly string[] {
  return flowbits.flatMap((flowbit) => {
    const comma = flowbit.indexOf(",");
    if (comma < 0 || !commands.has(flowbit.slice(0, comma).trim())) return [];
    return flowbit
      .slice(comma + 1)
      .split("|")
      .map((bit) => bit.trim());
  });
}
