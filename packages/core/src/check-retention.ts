/**
 * Check of retention periods against the sensor's own policy: a period outside of it is a fault at
 * the line that sets it, or at the instrument whose manifest does.
 */
import {
  type Catalogue,
  type Fault,
  renderDuration,
  type RetentionPolicy,
  type Site,
} from "@bulkhead/schema";
import type { LocatedDocument, Path } from "./located-document.ts";
import { retentionOf } from "./retention-period.ts";

export interface RetentionCheckInput {
  readonly site: Site;
  readonly document: LocatedDocument;
  readonly catalogue: Catalogue;
}

export function checkRetention({ site, document, catalogue }: RetentionCheckInput): readonly Fault[] {
  const policy = site.policy.retention;
  const at: Path = ["policy", "retention"];
  const { minimum, maximum } = policy;
  if (minimum !== undefined && maximum !== undefined && minimum > maximum) {
    const message = `the minimum, ${renderDuration(minimum)}, is longer than the maximum, ${renderDuration(maximum)}`;
    return [document.fault([...at, "minimum"], "invalid-value", message, accepted({ maximum }))];
  }
  const outside = (path: Path, periodMs: number, words: string): readonly Fault[] => {
    const why = outsideWords(periodMs, policy);
    return why === null ? [] : [document.fault(path, "invalid-value", `${words} ${why}`, accepted(policy))];
  };
  const own =
    policy.platform === undefined
      ? []
      : outside([...at, "platform"], policy.platform, "the platform's own period");
  const instruments = Object.entries(site.instruments).flatMap(([name, entry]) => {
    const offered = catalogue[entry.package];
    if (offered === undefined) return [];
    const periodMs = retentionOf({ site: entry, package: offered });
    if (periodMs === null) return [];
    return entry.retention === undefined
      ? outside(["instruments", name], periodMs, `the default period of ${entry.package}`)
      : outside(["instruments", name, "retention"], periodMs, "a period");
  });
  return [...own, ...instruments];
}

function outsideWords(periodMs: number, { minimum, maximum }: RetentionPolicy): string | null {
  const is = `of ${renderDuration(periodMs)} is`;
  if (maximum !== undefined && periodMs > maximum) {
    return `${is} longer than policy.retention.maximum, ${renderDuration(maximum)}`;
  }
  if (minimum !== undefined && periodMs < minimum) {
    return `${is} shorter than policy.retention.minimum, ${renderDuration(minimum)}`;
  }
  return null;
}

function accepted({ minimum, maximum }: RetentionPolicy): string {
  const least = minimum === undefined ? "" : ` of at least ${renderDuration(minimum)}`;
  const most =
    maximum === undefined ? "" : `${least === "" ? " of" : " and"} at most ${renderDuration(maximum)}`;
  return `a retention${least}${most}`;
}
