/**
 * Rule: one Suricata rule as the rule manager knows it, and where it stands. Plain, frozen data: a
 * change makes another rule.
 *
 * `text` is the rule as its author wrote it, on one line and without the mark of a disabled rule.
 * Only what decisions are made by is taken out of it; whether it is sound, Suricata itself says.
 */

/** Where something stands: the source's name, the file within it, and the line, from 1. */
export interface Place {
  readonly source: string;
  readonly file: string;
  readonly line: number;
}

/** What was found at a place; `null` places are of the whole set. */
export interface Finding {
  readonly place: Place | null;
  readonly message: string;
}

export interface Rule {
  readonly gid: number;
  readonly sid: number;
  readonly rev: number;
  readonly enabled: boolean;
  readonly action: string;
  readonly protocol: string;
  /** Names of the variables in addresses and ports. */
  readonly addressVariables: readonly string[];
  readonly portVariables: readonly string[];
  readonly msg: string;
  readonly classtype: string | null;
  /** Each entry as written: `key value`. */
  readonly metadata: readonly string[];
  /** Each as written: `set,name`. */
  readonly flowbits: readonly string[];
  /** It never alerts by itself. */
  readonly quiet: boolean;
  /** Keyword with a file of its own (a list of hashes, a script), which no rule file brings along. */
  readonly needsFile: string | null;
  readonly text: string;
  readonly place: Place;
}

/** What names a rule: two of one key cannot be loaded together. */
export function ruleKey({ gid, sid }: Pick<Rule, "gid" | "sid">): number {
  return gid * 2 ** 32 + sid;
}

/** The rule's line in a rule file. */
export function renderRule(rule: Rule): string {
  return rule.enabled ? rule.text : `# ${rule.text}`;
}
