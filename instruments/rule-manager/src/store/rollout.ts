/**
 * Rollout: one attempt to bring a set of rules into force, from the candidate to its end. What is
 * kept of it, as plain data.
 *
 *   held ─┐                        ┌→ applied → withdrawn
 *   waiting ─→ checking → applying ┤
 *     └→ superseded                └→ rolling-back → refused
 */
import type { Finding } from "../ruleset/rule.ts";
import type { SetDiff } from "../ruleset/diff.ts";

/**
 * `held`: it has lost too many rules, and an operator is to say so; `waiting`: an operator is to apply it;
 * `withdrawn`: it was in force until an operator rolled it back.
 */
export type RolloutState =
  | "held"
  | "waiting"
  | "checking"
  | "applying"
  | "rolling-back"
  | "applied"
  | "refused"
  | "superseded"
  | "withdrawn";

/** States in which something is to be done by itself. */
export const OPEN_STATES: readonly RolloutState[] = ["checking", "applying", "rolling-back"];

/** `away`: it does not run, and gets the set when it is back; `unknown`: no answer said whether it took the set. */
export type TargetState = "waiting" | "checked" | "applied" | "refused" | "unknown" | "reverted" | "away";

export interface RolloutTarget {
  readonly ids: string;
  /** Name of the set that it gets. */
  readonly set: string;
  /** What was in force there before; null where nothing of ours was. */
  readonly formerSha256: string | null;
  readonly state: TargetState;
  readonly detail: string;
}

export interface RolloutSet {
  /** Also the resource's name. */
  readonly name: string;
  readonly sha256: string;
  readonly rules: number;
  /** As Deliver called it; null until it is delivered. */
  readonly version: string | null;
}

export interface Rollout {
  readonly id: number;
  /** RFC 3339. */
  readonly created: string;
  readonly ended: string | null;
  /** Which change made it: `feed et-open 7-3f2a…`, `settings 5e…`, `rollback to 12`. */
  readonly why: string;
  /** Who had it done; `rule-manager` where nobody was asked. */
  readonly who: string;
  readonly state: RolloutState;
  /** Why it is held or was refused; empty otherwise. */
  readonly reason: string;
  readonly sets: readonly RolloutSet[];
  readonly targets: readonly RolloutTarget[];
  /** Against what was in force, of the set for all: how many, and the first of them. */
  readonly counts: Readonly<Record<keyof SetDiff, number>>;
  readonly diff: SetDiff;
  /** The one IDS that it is for, since the others have it already; null: for all. */
  readonly onlyFor: string | null;
  /** The rollout that this one takes back, or null. */
  readonly withdraws: number | null;
  readonly findings: readonly Finding[];
}

/** The same sets under the same names: what was refused once is not tried again by itself. */
export function setsKey(sets: readonly Pick<RolloutSet, "name" | "sha256">[]): string {
  return sets
    .map(({ name, sha256 }) => `${name}=${sha256}`)
    .toSorted()
    .join(" ");
}
