/**
 * Diff of two rendered rule files, by id. Pure.
 *
 * `changed` is every rule whose text differs, with the revisions of both sides: feeds change rules
 * without a new revision, too.
 */
import { parseRuleFile } from "./parse-file.ts";
import { type Rule, ruleKey } from "./rule.ts";

export interface RuleChange {
  readonly gid: number;
  readonly sid: number;
  readonly msg: string;
  /** Null where the rule was not there before, or is not there now. */
  readonly revBefore: number | null;
  readonly revAfter: number | null;
}

export interface SetDiff {
  readonly added: readonly RuleChange[];
  readonly removed: readonly RuleChange[];
  readonly changed: readonly RuleChange[];
}

export function diffSets(before: string, after: string): SetDiff {
  const former = index(before);
  const next = index(after);
  const added: RuleChange[] = [];
  const changed: RuleChange[] = [];
  for (const [key, rule] of next) {
    const old = former.get(key);
    if (old === undefined) added.push(change(rule, null, rule.rev));
    else if (old.text !== rule.text) changed.push(change(rule, old.rev, rule.rev));
  }
  const removed = [...former].flatMap(([key, rule]) => (next.has(key) ? [] : [change(rule, rule.rev, null)]));
  return { added, removed, changed };
}

function index(text: string): ReadonlyMap<number, Rule> {
  const { rules } = parseRuleFile({ source: "", file: "", text });
  return new Map(rules.filter(({ enabled }) => enabled).map((rule) => [ruleKey(rule), rule]));
}

function change({ gid, sid, msg }: Rule, revBefore: number | null, revAfter: number | null): RuleChange {
  return { gid, sid, msg, revBefore, revAfter };
}

export function countDiff({ added, removed, changed }: SetDiff): Readonly<Record<keyof SetDiff, number>> {
  return { added: added.length, removed: removed.length, changed: changed.length };
}

/** At most so many of each kind. */
export function cutDiff({ added, removed, changed }: SetDiff, most: number): SetDiff {
  return { added: added.slice(0, most), removed: removed.slice(0, most), changed: changed.slice(0, most) };
}
