/**
 * Matcher: what a line of suricata-update's enable.conf, disable.conf and drop.conf picks: `*`, ids
 * (`2019401`, `1:2019401, 3:7`), `re:`, `group:` or a file's name, `filename:`, `metadata: key value`.
 * Pure.
 */
import { globPattern } from "./glob.ts";
import { pythonPattern } from "./python-pattern.ts";
import { type Rule, ruleKey } from "./rule.ts";

/** Ids are kept apart, so that thousands of them cost one look for each rule. */
export type Matcher =
  | { readonly kind: "ids"; readonly keys: readonly number[] }
  | { readonly kind: "test"; readonly test: (rule: Rule) => boolean };

/** A matcher, or what is wrong with the line. */
export function parseMatcher(line: string): Matcher | string {
  const text = line.trim();
  if (text === "*") return { kind: "test", test: () => true };
  const keys = parseIds(text);
  if (keys !== null) return { kind: "ids", keys };
  const colon = text.indexOf(":");
  const word = text.slice(0, Math.max(0, colon));
  const rest = text.slice(colon + 1).trim();
  if (word === "re") return parsePattern(rest);
  if (word === "filename") return byFile(globPattern(rest), ({ place }) => [place.file]);
  if (word === "group") return byFile(globPattern(rest), namesOf);
  if (text.endsWith(".rules")) return byFile(globPattern(text), namesOf);
  if (word === "metadata") return parseMetadata(rest);
  return "is neither *, ids, re:, group:, filename:, metadata: nor the name of a .rules file";
}

/** One test out of many matchers: true where any of them picks the rule. */
export function anyOf(matchers: readonly Matcher[]): (rule: Rule) => boolean {
  const keys = new Set(matchers.flatMap((matcher) => (matcher.kind === "ids" ? matcher.keys : [])));
  const tests = matchers.flatMap((matcher) => (matcher.kind === "test" ? [matcher.test] : []));
  return (rule) => (keys.size > 0 && keys.has(ruleKey(rule))) || tests.some((test) => test(rule));
}

function parseIds(text: string): readonly number[] | null {
  const keys: number[] = [];
  for (const entry of text.split(",")) {
    const match = /^\s*(?:(\d{1,7})\s*:\s*)?(\d{1,10})\s*$/.exec(entry);
    if (match === null) return null;
    keys.push(ruleKey({ gid: Number(match[1] ?? 1), sid: Number(match[2]) }));
  }
  return keys;
}

function parsePattern(pattern: string): Matcher | string {
  try {
    const made = pythonPattern(pattern, "i");
    return { kind: "test", test: ({ text }) => made.test(text) };
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    return `is no regular expression: ${error.message}`;
  }
}

/** The names of many rules are one file's: the last answer is kept. */
function byFile(pattern: RegExp, names: (rule: Rule) => readonly string[]): Matcher {
  let last = { file: "", picked: pattern.test("") };
  const test = (rule: Rule): boolean => {
    const { file } = rule.place;
    if (file !== last.file) last = { file, picked: names(rule).some((name) => pattern.test(name)) };
    return last.picked;
  };
  return { kind: "test", test };
}

/** The file's name, with and without its extension. */
function namesOf({ place: { file } }: Rule): readonly string[] {
  const name = file.slice(file.lastIndexOf("/") + 1);
  const dot = name.lastIndexOf(".");
  return dot > 0 ? [name, name.slice(0, dot)] : [name];
}

function parseMetadata(text: string): Matcher | string {
  const wanted = splitEntry(text);
  if (wanted.value === "") return "metadata: takes a key and a value";
  const test = ({ metadata }: Rule): boolean =>
    metadata.some((entry) => {
      const { key, value } = splitEntry(entry);
      return key === wanted.key && value === wanted.value;
    });
  return { kind: "test", test };
}

function splitEntry(entry: string): { readonly key: string; readonly value: string } {
  const lower = entry.trim().toLowerCase();
  const space = lower.indexOf(" ");
  return space < 0
    ? { key: lower, value: "" }
    : { key: lower.slice(0, space), value: lower.slice(space + 1).trim() };
}
