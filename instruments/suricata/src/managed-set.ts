/**
 * Managed set: the rules that a rule manager has brought into force, as one of the sensor's rule files.
 *
 * Its name begins with `managed:`, which no file beside a site can be called. Thresholds stand in it as
 * remarks, and lie as a file of their own beside each copy of it.
 */
import { createReadStream } from "node:fs";
import { open } from "node:fs/promises";
import { createInterface } from "node:readline";
import { MOST_RULESET_FINDINGS, type RulesetFinding, type RulesetRequest } from "@bulkhead/schema";
import type { RuleFaults, RuleFile } from "@bulkhead/sdk";

const MARK = "managed:";
const THRESHOLD_MARK = "#threshold.config ";
const MOST_WORDS = 1_000;

export function managedName({ name, version }: Pick<RulesetRequest, "name" | "version">): string {
  return `${MARK}${name}/${version}`;
}

export function isManaged({ name }: RuleFile): boolean {
  return name.startsWith(MARK);
}

/** Where the thresholds of these files lie; null where no rule manager's set is among them. */
export function thresholdFileOf(files: readonly RuleFile[]): string | null {
  const set = files.find(isManaged);
  return set === undefined ? null : `${set.path}.threshold`;
}

/** Puts the thresholds beside a copy of the set; returns how many rules the set has. */
export async function unfoldSet({ path }: RuleFile): Promise<number> {
  let rules = 0;
  const thresholds: string[] = [];
  for await (const line of createInterface({ input: createReadStream(path, "utf8"), crlfDelay: Infinity })) {
    if (line.startsWith(THRESHOLD_MARK)) thresholds.push(line.slice(THRESHOLD_MARK.length));
    else if (line !== "" && !line.startsWith("#")) rules += 1;
  }
  await using file = await open(`${path}.threshold`, "w");
  await file.writeFile(thresholds.map((line) => `${line}\n`).join(""));
  return rules;
}

/** Faults as the rule manager is told them: lines of its own set, all others in words. */
export function findingsOf(faults: RuleFaults, set: string): readonly RulesetFinding[] {
  return faults.slice(0, MOST_RULESET_FINDINGS).map(({ file, line, message }) => {
    const isOwn = file === set;
    const place = file === undefined || isOwn ? "" : `${file}${line === undefined ? "" : `:${line}`}: `;
    return {
      line: isOwn ? (line ?? null) : null,
      message: `${place}${message}`.slice(0, MOST_WORDS),
    };
  });
}
