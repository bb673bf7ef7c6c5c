/**
 * Policy: what the operator wants of the rules that the sources bring, parsed from lines in the
 * syntax of suricata-update's files. Pure.
 *
 * A line that cannot be read is a finding, and the others count.
 */
import { type Change, parseChange } from "./change.ts";
import { globPattern } from "./glob.ts";
import { anyOf, type Matcher, parseMatcher } from "./matcher.ts";
import { type Finding, type Rule, ruleKey } from "./rule.ts";

export interface PolicyText {
  /** What the lines are called in findings: `disable.conf`, `settings`. */
  readonly file: string;
  readonly text: string;
}

export interface PolicyTexts {
  readonly disable: readonly PolicyText[];
  readonly enable: readonly PolicyText[];
  readonly drop: readonly PolicyText[];
  readonly modify: readonly PolicyText[];
  /** Globs of file names whose rules are left out. */
  readonly ignore: readonly string[];
}

type Test = (rule: Rule) => boolean;

export interface Policy {
  readonly disables: Test;
  readonly enables: Test;
  readonly drops: Test;
  /** In their order, those that may pick this rule: a test looks at what the changes before it made. */
  readonly changesOf: (rule: Rule) => readonly Change[];
  readonly ignores: (file: string) => boolean;
  readonly findings: readonly Finding[];
}

export function parsePolicy({ disable, enable, drop, modify, ignore }: PolicyTexts): Policy {
  const findings: Finding[] = [];
  const parseAll = <T>(texts: readonly PolicyText[], parse: (line: string) => T | string): readonly T[] =>
    texts.flatMap((each) =>
      linesOf(each).flatMap(({ line, place }) => {
        const parsed = parse(line);
        if (typeof parsed !== "string") return [parsed];
        findings.push({ place, message: parsed });
        return [];
      }),
    );
  const test = (texts: readonly PolicyText[]): Test => anyOf(parseAll<Matcher>(texts, parseMatcher));
  const ignored = ignore.map(globPattern);
  return {
    disables: test(disable),
    enables: test(enable),
    drops: test(drop),
    changesOf: indexChanges(parseAll(modify, parseChange)),
    ignores: (file) => ignored.some((pattern) => pattern.test(file.slice(file.lastIndexOf("/") + 1))),
    findings,
  };
}

function linesOf({ file, text }: PolicyText) {
  return text.split("\n").flatMap((raw, index) => {
    const trimmed = raw.trim();
    if (trimmed === "" || trimmed.startsWith("#")) return [];
    const line = (trimmed.split(" #")[0] ?? "").trim();
    return [{ line, place: { source: "settings", file, line: index + 1 } }];
  });
}

function indexChanges(changes: readonly Change[]): (rule: Rule) => readonly Change[] {
  const byKey = new Map<number, Set<number>>();
  const tested: number[] = [];
  for (const [order, { matcher }] of changes.entries()) {
    if (matcher.kind === "test") tested.push(order);
    else for (const key of matcher.keys) byKey.set(key, (byKey.get(key) ?? new Set()).add(order));
  }
  const inOrder = (orders: readonly number[]) =>
    orders.toSorted((a, b) => a - b).flatMap((order) => changes[order] ?? []);
  const forAll = inOrder(tested);
  return (rule) => {
    const own = byKey.get(ruleKey(rule));
    return own === undefined ? forAll : inOrder([...own, ...tested]);
  };
}
