/**
 * Thresholds: the operator's lines in the syntax of Suricata's threshold.config (`suppress`,
 * `threshold`, `event_filter`, `rate_filter`), and of suricata-update's threshold.in, in which a
 * `re:` stands for the ids of the enabled rules that it matches. Pure.
 */
import { pythonPattern } from "./python-pattern.ts";
import type { Finding, Rule } from "./rule.ts";

const COMMAND = /^(suppress|threshold|event_filter|rate_filter)\s/;
const SOUND = /^[\x20-\x7e\t]+$/;
/** In the order in which suricata-update tries them. */
const PATTERNS = [/\s(re:"(.*)")/, /\s(re:(.*?)),.*/, /\s(re:(.*))/];

export function expandThresholds(
  lines: readonly string[],
  rules: readonly Rule[],
): { readonly lines: readonly string[]; readonly findings: readonly Finding[] } {
  const findings: Finding[] = [];
  const expanded = lines.flatMap((raw, index) => {
    const line = raw.trim();
    if (line === "" || line.startsWith("#")) return [];
    const place = { source: "settings", file: "thresholds", line: index + 1 };
    if (!COMMAND.test(line) || !SOUND.test(line)) {
      findings.push({ place, message: "is no suppress, threshold, event_filter or rate_filter" });
      return [];
    }
    const match = PATTERNS.map((pattern) => pattern.exec(line)).find((found) => found !== null);
    const [, written = "", pattern = ""] = match ?? [];
    if (written === "") return [line];
    try {
      const made = pythonPattern(pattern, "i");
      return rules
        .filter((rule) => rule.enabled && made.test(rule.text))
        .map(({ gid, sid }) => line.replace(written, () => `gen_id ${gid}, sig_id ${sid}`));
    } catch (error) {
      if (!(error instanceof SyntaxError)) throw error;
      findings.push({ place, message: `is no regular expression: ${error.message}` });
      return [];
    }
  });
  return { lines: expanded, findings };
}
