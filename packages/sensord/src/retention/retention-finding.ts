/**
 * Retention finding: what is known of one store after a look at it, and the row that is shown of it.
 * Pure.
 */
import type { OldestRecord, Overdue } from "@bulkhead/core";
import type { RetentionBreach, RetentionRow } from "@bulkhead/schema";
import type { RetentionSubject } from "./retention-subject.ts";

export interface RetentionFinding {
  readonly reported: RetentionRow["reported"];
  readonly measured: RetentionRow["measured"];
  readonly sizeBytes: number | null;
  readonly lastPurge: RetentionRow["lastPurge"];
  readonly overdue: readonly Overdue[];
  /** Of volumes that are cut: which slices there were, and when the first of them is to end. */
  readonly slices?: readonly string[];
  readonly nextEndMs?: number | null;
}

const NOT_MEASURED = "not measured: only the instrument can read its own store";

export function nothingFound({ store, stream }: RetentionSubject): RetentionFinding {
  const unread = store === "refusals" ? "in memory alone" : NOT_MEASURED;
  const how = stream !== null || store === "slices" ? "not measured yet" : unread;
  return {
    reported: {
      outcome: store === "records" ? "unasked" : "none",
      oldest: null,
      at: null,
      detail: "",
    },
    measured: { oldest: null, how },
    sizeBytes: null,
    lastPurge: null,
    overdue: [],
  };
}

export function breachOf({ basis, record, oldestMs, ageMs, periodMs, sinceMs }: Overdue): RetentionBreach {
  const oldest = new Date(oldestMs).toISOString();
  return { basis, record, oldest, ageMs, periodMs, since: new Date(sinceMs).toISOString() };
}

/** What a finding says of how old the oldest record is, each with where it stands. */
export function oldestRecords(
  { reported, measured }: RetentionFinding,
  where: string,
): readonly OldestRecord[] {
  const said = reported.oldest;
  const found = measured.oldest;
  return [
    ...(said === null
      ? []
      : [{ basis: "reported" as const, oldestMs: Date.parse(said), record: "as the instrument says" }]),
    ...(found === null ? [] : [{ basis: "measured" as const, oldestMs: Date.parse(found), record: where }]),
  ];
}

export function rowOf(
  subject: RetentionSubject,
  finding: RetentionFinding,
  nextPurge: string | null,
): RetentionRow {
  const { owner, store, period } = subject;
  const { overdue, slices, nextEndMs = null, ...rest } = finding;
  return {
    owner,
    store,
    periodMs: period.periodMs,
    by: period.by,
    ...rest,
    nextPurge:
      slices === undefined ? nextPurge : nextEndMs === null ? null : new Date(nextEndMs).toISOString(),
    breaches: overdue.map(breachOf),
    ...(slices === undefined ? {} : { enforced: { slices: slices.length } }),
  };
}
