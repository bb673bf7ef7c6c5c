/**
 * Slices retention: how far the slices of an instrument's volumes are from the end of their period, as warden found
 * them. It destroys nothing and asks nobody to: warden does that by itself, and audits it.
 */
import { type Name, type Observed, parseSlice, renderDuration } from "@bulkhead/schema";
import type { OldestRecord } from "@bulkhead/core";
import type { RetentionFinding } from "./retention-finding.ts";
import type { RetentionSubject } from "./retention-subject.ts";

export interface SlicesFound {
  readonly finding: RetentionFinding;
  /** By when the last record in it can have been made: before that nobody is at fault. */
  readonly oldest: readonly OldestRecord[];
}

export function lookAtSlices(
  { owner, period }: Pick<RetentionSubject, "owner" | "period">,
  volumes: Observed["volumes"],
  former: RetentionFinding,
  nowMs: number,
): SlicesFound {
  const slices = keptSlices(owner, volumes);
  const oldest = slices[0];
  const removed = (former.slices ?? []).filter((name) => !slices.some((one) => one.name === name)).length;
  const lastPurge = removed === 0 ? former.lastPurge : { at: new Date(nowMs).toISOString(), removed };
  const lengths = [...new Set(slices.map(({ startMs, endMs }) => renderDuration(endMs - startMs)))];
  return {
    finding: {
      ...former,
      lastPurge,
      slices: slices.map(({ name }) => name),
      nextEndMs: oldest === undefined ? null : oldest.endMs + period.periodMs,
      measured: {
        oldest: oldest === undefined ? null : new Date(oldest.startMs).toISOString(),
        how: slices.length === 0 ? "no slices yet" : `${slices.length} slices of ${lengths.join(" and ")}`,
      },
    },
    oldest: oldest === undefined ? [] : [{ basis: "measured", oldestMs: oldest.endMs, record: oldest.name }],
  };
}

/** Those whose keys are kept, the first to end first. */
function keptSlices(owner: Name, volumes: Observed["volumes"]) {
  return volumes
    .filter(({ instrument }) => instrument === owner)
    .flatMap(({ id, slices = [] }) =>
      slices.flatMap(({ slice, kept }) => {
        const times = parseSlice(slice);
        return kept && times !== null ? [{ name: `slice ${slice} of /data/${id}`, ...times }] : [];
      }),
    )
    .toSorted((a, b) => a.endMs - b.endMs);
}
