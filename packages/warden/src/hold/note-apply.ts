/**
 * Notes of an apply: its outcome, and, where it is in force, each grant that came or went.
 */
import { grantChanges, parseSite } from "@bulkhead/core";
import type { ApplyOutcome, Site } from "@bulkhead/schema";
import type { StoredSite } from "../site/site-store.ts";
import { type Audit, SITE_FILE } from "./ports.ts";

export async function noteApply(
  audit: Audit,
  former: StoredSite | null,
  staged: StoredSite,
  outcome: ApplyOutcome,
): Promise<void> {
  await audit.append("site.apply", staged.version, { outcome: outcome.outcome, ...detailOf(outcome) });
  const after = siteOf(staged);
  if (outcome.outcome !== "applied" || after === null) return;
  const { added, removed } = grantChanges(siteOf(former), after);
  const note =
    (kind: string) =>
    ({ subject, what, grant }: (typeof added)[number]) =>
      audit.append(kind, subject, { what, grant, site: staged.version });
  // Together: they are chained in this order, and flushed once.
  await Promise.all([...removed.map(note("grant.removed")), ...added.map(note("grant.added"))]);
}

function detailOf(outcome: ApplyOutcome): Readonly<Record<string, string | number>> {
  if (outcome.outcome === "applied") return {};
  if (outcome.outcome === "failed") {
    const step = outcome.step === null ? "" : `${outcome.step.kind} ${outcome.step.target}`;
    return { step, code: outcome.code, message: outcome.message };
  }
  const first = outcome.faults[0];
  return { faults: outcome.faults.length, code: first?.code ?? "", at: first?.path ?? "" };
}

/** Null where it does not parse: then all of the next one's grants are new. */
function siteOf(stored: StoredSite | null): Site | null {
  const parsed = stored === null ? null : parseSite(stored.text, SITE_FILE);
  return parsed?.ok === true ? parsed.value : null;
}
