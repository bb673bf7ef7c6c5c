/**
 * Builds the sets: one for every IDS, and one more for each IDS for which something else counts.
 * Pure.
 */
import type { ParsedFile } from "./ruleset/parse-file.ts";
import { combine, type RuleSet } from "./ruleset/combine.ts";
import { parsePolicy, type PolicyText, type PolicyTexts } from "./ruleset/policy.ts";
import { renderSet, type LineMap } from "./ruleset/render.ts";
import type { Finding } from "./ruleset/rule.ts";
import { expandThresholds } from "./ruleset/thresholds.ts";
import type { Override, Settings } from "./settings.ts";

/** Name of the set for all IDS without one of their own; also the resource's. */
export const COMMON_SET = "all";
export const LOCAL_SOURCE = "local";

export interface BuiltSet {
  /** `all`, or the name of the IDS that it is for. */
  readonly name: string;
  readonly text: string;
  readonly places: LineMap;
  readonly counts: RuleSet["counts"];
  readonly findings: readonly Finding[];
}

/** The operator's files, as they came with the settings. */
export interface ConfFiles {
  readonly enable: readonly PolicyText[];
  readonly disable: readonly PolicyText[];
  readonly drop: readonly PolicyText[];
  readonly modify: readonly PolicyText[];
}

/** `files`: local rules first, then the feeds in the order of their precedence. */
export function buildSets(
  settings: Settings,
  conf: ConfFiles,
  files: readonly ParsedFile[],
): readonly BuiltSet[] {
  return [null, ...settings.overrides].map((override) => buildSet(settings, conf, files, override));
}

function buildSet(
  settings: Settings,
  conf: ConfFiles,
  files: readonly ParsedFile[],
  override: Override | null,
): BuiltSet {
  const passing = new Set(settings.sources?.filter(({ pass }) => pass).map(({ feed }) => feed));
  const combined = combine(files, {
    policy: parsePolicy(policyTexts(settings, conf, override)),
    mayPass: (source) => source === LOCAL_SOURCE || passing.has(source),
  });
  const thresholds = expandThresholds(settings.thresholds, combined.rules);
  const { text, places } = renderSet(combined.rules, thresholds.lines);
  return {
    name: override?.ids ?? COMMON_SET,
    text,
    places,
    counts: combined.counts,
    findings: [...combined.findings, ...thresholds.findings],
  };
}

function policyTexts(settings: Settings, conf: ConfFiles, override: Override | null): PolicyTexts {
  const texts = (kind: keyof ConfFiles): readonly PolicyText[] => [
    ...conf[kind],
    { file: kind, text: settings[kind].join("\n") },
    ...(override === null ? [] : [{ file: `${override.ids}/${kind}`, text: override[kind].join("\n") }]),
  ];
  return {
    enable: texts("enable"),
    disable: texts("disable"),
    drop: texts("drop"),
    modify: texts("modify"),
    ignore: settings.ignore,
  };
}
