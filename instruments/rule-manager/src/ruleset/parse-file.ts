/**
 * Parses a rule file: rules over several lines (a backslash at the end), disabled ones, remarks.
 * A line that is no rule is a finding and costs the others nothing. Pure.
 *
 * `cut` says that the file broke off: what is left of its last line is no whole rule.
 */
import { parseRule } from "./parse-rule.ts";
import type { Finding, Place, Rule } from "./rule.ts";

export interface RuleText {
  /** Name of the source: a feed's, or `local`. */
  readonly source: string;
  /** Path within the source, with slashes. */
  readonly file: string;
  readonly text: string;
}

export interface ParsedFile {
  readonly source: string;
  readonly file: string;
  readonly rules: readonly Rule[];
  readonly findings: readonly Finding[];
  readonly cut: boolean;
}

/** Control characters but tab and line ends; U+FFFD is what a decoder puts where bytes were no UTF-8. */
// oxlint-disable-next-line no-control-regex
const UNSOUND = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f\ufffd]|\r(?!\n|$)/;

export function parseRuleFile({ source, file, text }: RuleText): ParsedFile {
  const lines = text.split("\n");
  const isUnsound = UNSOUND.test(text);
  const rules: Rule[] = [];
  const findings: Finding[] = [];
  let cut = false;
  for (let index = 0; index < lines.length; index += 1) {
    const first = index;
    let joined = lines[index] ?? "";
    while (endsOpen(joined) && index + 1 < lines.length) {
      index += 1;
      joined = `${joined.trimEnd().slice(0, -1)} ${lines[index] ?? ""}`;
    }
    const place: Place = { source, file, line: first + 1 };
    const parsed = parseRule(joined, place);
    if (parsed.kind === "comment") {
      // A remark that ends with a backslash does not swallow the rule below it.
      if (index > first && /^\s*#/.test(joined)) index = first;
      continue;
    }
    if (isUnsound && UNSOUND.test(joined)) {
      findings.push({ place, message: "holds control characters, or bytes that are no UTF-8" });
    } else if (parsed.kind === "rule") {
      rules.push(parsed.rule);
    } else {
      findings.push({ place, message: parsed.message });
      cut = index === lines.length - 1;
    }
  }
  return { source, file, rules, findings, cut };
}

function endsOpen(line: string): boolean {
  // Most lines end with a parenthesis: no copy is made of those.
  const last = line.charCodeAt(line.length - 1);
  if (last === 41) return false;
  return line.trimEnd().endsWith("\\");
}
