/**
 * Change: what a line of suricata-update's modify.conf does to a rule: `<match> "<from>" "<to>"`,
 * Oinkmaster's `modifysid <match> "<from>" | "<to>"`, `metadata-add <match> <key> <value>`; and what
 * drop.conf does. Pure.
 *
 * A change works on the rule's line as it would be written, the mark of a disabled rule included; a
 * result that is no rule, or a rule of another id, is told and leaves the rule as it was.
 */
import { type Matcher, parseMatcher } from "./matcher.ts";
import { parseRule } from "./parse-rule.ts";
import { pythonPattern, pythonReplacement, replaceAll } from "./python-pattern.ts";
import { renderRule, type Rule, ruleKey } from "./rule.ts";
import { splitShellWords } from "./shell-words.ts";

export interface Change {
  readonly matcher: Matcher;
  /** The rule's next line. @throws SyntaxError where the replacement names a group that is not there. */
  readonly rewrite: (line: string) => string;
}

/** A change, or what is wrong with the line. */
export function parseChange(line: string): Change | string {
  try {
    return line.startsWith("metadata-add") ? parseMetadataAdd(line) : parseModify(line);
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    return error.message;
  }
}

/** The changed rule, or why it is not changed. */
export function changeRule(rule: Rule, change: Change): Rule | string {
  let line: string;
  try {
    line = change.rewrite(renderRule(rule));
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    return error.message;
  }
  if (line.includes("\n")) return "its change would make it more than one line";
  const parsed = parseRule(line, rule.place);
  if (parsed.kind !== "rule") return "its change makes no rule of it";
  if (ruleKey(parsed.rule) !== ruleKey(rule)) return "its change would give it another id";
  return parsed.rule;
}

/** Makes a rule drop, unless it never alerts: such a rule has work of another kind. */
export function dropRule(rule: Rule): Rule {
  if (rule.quiet) return rule;
  return { ...rule, action: "drop", text: rule.text.replace(/^\w+/, "drop") };
}

function parseModify(line: string): Change | string {
  // suricata-update takes a dollar with a backslash for one without.
  const words = splitShellWords(line.replaceAll("\\$", "$"));
  if (words === null) return "has a quote that is not closed";
  const [first = "", second = "", third = "", , fifth = ""] = words;
  const isOinkmaster = first === "modifysid" && words.length > 3;
  if (!isOinkmaster && words.length !== 3) return "takes a match, what to replace, and the replacement";
  const [match, from, to] = isOinkmaster ? [second, third, fifth] : [first, second, third];
  const matcher = parseMatcher(match);
  if (typeof matcher === "string") return `${match}: ${matcher}`;
  const pattern = pythonPattern(from, "g");
  const parts = pythonReplacement(to);
  return { matcher, rewrite: (text) => replaceAll(text, pattern, parts) };
}

function parseMetadataAdd(line: string): Change | string {
  const words = splitShellWords(line);
  const [, match = "", key = "", value = ""] = words ?? [];
  if (words?.length !== 4) return "metadata-add takes a match, a key and a value";
  const matcher = parseMatcher(match);
  if (typeof matcher === "string") return `${match}: ${matcher}`;
  return { matcher, rewrite: (text) => text.replace(/;\s*\)$/, () => `; metadata: ${key} ${value};)`) };
}
