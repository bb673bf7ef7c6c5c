/**
 * Combine: from the rules of all sources and the operator's policy to one set. Pure, and the same
 * for the same input, whatever its order of files.
 *
 * Of two rules with one id the higher revision counts, of equal ones that of the source named first.
 * Order of what is done to a rule, as in suricata-update: disable, enable, drop, modify, then what
 * flowbits need. A rule that no Suricata of ours can load, or that a source may not bring, stays off.
 */
import { changeRule, dropRule } from "./change.ts";
import { enableQuietly, neededForFlowbits } from "./flowbits.ts";
import type { ParsedFile } from "./parse-file.ts";
import type { Policy } from "./policy.ts";
import { type Finding, type Rule, ruleKey } from "./rule.ts";
import { ADDRESS_VARIABLES, PORT_VARIABLES } from "./variables.ts";

export interface CombineOptions {
  readonly policy: Policy;
  /** Sources whose `pass` rules count; they switch detection off for what they match. */
  readonly mayPass: (source: string) => boolean;
}

export interface RuleSet {
  /** Enabled and disabled ones, by gid and sid. */
  readonly rules: readonly Rule[];
  readonly findings: readonly Finding[];
  readonly counts: {
    readonly read: number;
    readonly unreadable: number;
    readonly duplicates: number;
    readonly enabled: number;
    readonly disabled: number;
    readonly changed: number;
    readonly forFlowbits: number;
  };
}

/** `files`: sources in the order of their precedence. */
export function combine(files: readonly ParsedFile[], { policy, mayPass }: CombineOptions): RuleSet {
  const taken = inOrder(files).filter(({ file }) => !policy.ignores(file));
  const findings: Finding[] = [...policy.findings, ...taken.flatMap((file) => file.findings)];
  const { chosen, duplicates } = choose(taken);
  const unusable = new Set<number>();
  let changed = 0;
  const decided = new Map<number, Rule>();
  for (const [key, original] of chosen) {
    const wanted = decide(original, policy, findings);
    if (wanted.text !== original.text) changed += 1;
    const reason = reasonAgainst(wanted, mayPass);
    if (reason !== null) unusable.add(key);
    const isLeftOut = reason !== null && wanted.enabled;
    if (isLeftOut) findings.push({ place: wanted.place, message: `is left out: ${reason}` });
    decided.set(key, isLeftOut ? { ...wanted, enabled: false } : wanted);
  }
  const needed = neededForFlowbits(decided.values(), (rule) => !unusable.has(ruleKey(rule)));
  const rules = [...decided.values()]
    .map((rule) => (needed.has(ruleKey(rule)) ? enableQuietly(rule) : rule))
    .toSorted((a, b) => a.gid - b.gid || a.sid - b.sid);
  const enabled = rules.filter((rule) => rule.enabled).length;
  return {
    rules,
    findings,
    counts: {
      read: taken.reduce((sum, file) => sum + file.rules.length, 0),
      unreadable: taken.reduce((sum, file) => sum + file.findings.length, 0),
      duplicates,
      enabled,
      disabled: rules.length - enabled,
      changed,
      forFlowbits: needed.size,
    },
  };
}

/** Files of a source by name; sources stay in their order. */
function inOrder(files: readonly ParsedFile[]): readonly ParsedFile[] {
  const sources = [...new Set(files.map(({ source }) => source))];
  const rank = new Map(sources.map((source, index) => [source, index]));
  return files.toSorted(
    (a, b) =>
      (rank.get(a.source) ?? 0) - (rank.get(b.source) ?? 0) ||
      (a.file < b.file ? -1 : Number(a.file > b.file)),
  );
}

function choose(files: readonly ParsedFile[]): {
  readonly chosen: ReadonlyMap<number, Rule>;
  readonly duplicates: number;
} {
  const chosen = new Map<number, Rule>();
  let duplicates = 0;
  for (const { rules } of files) {
    for (const rule of rules) {
      const key = ruleKey(rule);
      const former = chosen.get(key);
      if (former !== undefined) duplicates += 1;
      if (former === undefined || rule.rev > former.rev) chosen.set(key, rule);
    }
  }
  return { chosen, duplicates };
}

function decide(original: Rule, policy: Policy, findings: Finding[]): Rule {
  let rule = original;
  if (rule.enabled && policy.disables(rule)) rule = { ...rule, enabled: false };
  if (!rule.enabled && policy.enables(rule)) rule = { ...rule, enabled: true };
  if (policy.drops(rule)) rule = dropRule(rule);
  for (const change of policy.changesOf(rule)) {
    if (change.matcher.kind === "test" && !change.matcher.test(rule)) continue;
    const next = changeRule(rule, change);
    if (typeof next === "string") findings.push({ place: rule.place, message: next });
    else rule = next;
  }
  return rule;
}

function reasonAgainst(rule: Rule, mayPass: (source: string) => boolean): string | null {
  if (rule.needsFile !== null) return `${rule.needsFile} needs a file that a rule set does not bring along`;
  const unknown =
    rule.addressVariables.find((name) => !ADDRESS_VARIABLES.has(name)) ??
    rule.portVariables.find((name) => !PORT_VARIABLES.has(name));
  if (unknown !== undefined) return `the sensor has no variable $${unknown}`;
  if (rule.action === "pass" && !mayPass(rule.place.source)) {
    return `${rule.place.source} may not bring pass rules, which switch detection off`;
  }
  return null;
}
