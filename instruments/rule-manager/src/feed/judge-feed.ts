/**
 * Judges a feed's new version beside the one that is in use: whether it may take its place. Pure.
 *
 * Empty, cut short, or mostly unreadable: never. Much smaller than before: when an operator says so.
 */
import type { ParsedFile } from "../ruleset/parse-file.ts";

export type FeedVerdict =
  | { readonly verdict: "accepted"; readonly rules: number }
  | { readonly verdict: "held" | "refused"; readonly rules: number; readonly reason: string };

export interface FeedGuards {
  /** Share of the rules that may go away at once. */
  readonly maxShrink: number;
  /** Share of lines that may be no rules. */
  readonly maxUnparsable: number;
}

/** @param formerRules how many rules the version in use has; null where there is none */
export function judgeFeed(
  files: readonly ParsedFile[],
  formerRules: number | null,
  { maxShrink, maxUnparsable }: FeedGuards,
): FeedVerdict {
  const rules = files.reduce((sum, file) => sum + file.rules.length, 0);
  const unreadable = files.reduce((sum, file) => sum + file.findings.length, 0);
  const refuse = (reason: string): FeedVerdict => ({ verdict: "refused", rules, reason });
  if (rules === 0) return refuse("it holds no rules");
  const cut = files.find((file) => file.cut);
  if (cut !== undefined) return refuse(`${cut.file} is cut short: its last line is no whole rule`);
  const share = unreadable / (rules + unreadable);
  if (share > maxUnparsable) return refuse(`${percent(share)} of its lines are no rules`);
  const lost = formerRules === null ? 0 : (formerRules - rules) / formerRules;
  if (lost > maxShrink) {
    return { verdict: "held", rules, reason: `it has ${rules} rules, ${percent(lost)} less than before` };
  }
  return { verdict: "accepted", rules };
}

export function percent(share: number): string {
  return `${(share * 100).toFixed(1)} %`;
}
