/**
 * Engine log: what Suricata says of itself, one JSON document a line on its console.
 *
 * From it come log lines, the faults of a rule check, and the last counters of a capture, which
 * Suricata prints when it ends.
 */
import type { LogLevel, RuleFaults } from "@bulkhead/sdk";
import * as z from "zod";

export interface EngineLine {
  readonly level: LogLevel;
  readonly message: string;
}

const Line = z.object({ log_level: z.string(), engine: z.object({ message: z.string() }) });
const LEVELS: Readonly<Record<string, LogLevel>> = {
  Error: "error",
  Warning: "warn",
  Notice: "info",
  Info: "info",
  Perf: "debug",
  Config: "debug",
  Debug: "debug",
};

/** A line that is not Suricata's own form is passed on as it is. */
export function parseEngineLine(line: string): EngineLine {
  try {
    const parsed = Line.safeParse(JSON.parse(line));
    if (parsed.success) {
      const { log_level: level, engine } = parsed.data;
      return { level: LEVELS[level] ?? "info", message: engine.message.trim() };
    }
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
  }
  return { level: "info", message: line };
}

const PLACE = /^error parsing signature .* from file (\S+) at line (\d+)$/s;
/** Says only that there were others. */
const SUMMARY = /^(Loading signatures failed\.|\d+ rule files? .*failed)/;

/**
 * Faults of a check: each error that names a place gets the reason that was said before it; errors
 * without a place (of the configuration) stand by themselves.
 * @param nameOf The operator's name of a file, or undefined for files that are not theirs.
 */
export function parseRuleFaults(
  lines: readonly EngineLine[],
  nameOf: (path: string) => string | undefined,
): RuleFaults {
  const faults: RuleFaults = [];
  let reasons: string[] = [];
  for (const { message } of lines.filter(({ level }) => level === "error")) {
    const place = PLACE.exec(message);
    if (place?.[1] !== undefined) {
      const path = place[1];
      const text = reasons.join("; ") || "is not a valid rule";
      faults.push({ file: nameOf(path) ?? path, line: Number(place[2]), message: text.slice(0, 2000) });
      reasons = [];
    } else if (!SUMMARY.test(message)) {
      reasons.push(message);
    }
  }
  return [...faults, ...reasons.map((message) => ({ message: message.slice(0, 2000) }))];
}

/** `mon0: packets: 10, drops: 2 (20.00%), invalid chksum: 0` */
const LAST_COUNTERS = /: packets: (\d+), drops: (\d+) \(/;

export function parseLastCounters(
  message: string,
): { readonly packets: number; readonly drops: number } | null {
  const match = LAST_COUNTERS.exec(message);
  return match === null ? null : { packets: Number(match[1]), drops: Number(match[2]) };
}
