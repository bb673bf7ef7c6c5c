/**
 * Slices: which slices of a volume shall be there and open, and which are past their period. Pure.
 *
 * Invariants: what cannot be undone is decided by the earliest time that it may be, what can be by the latest; so a
 * clock that jumps destroys nothing before its time, leaves no record without a slice, and opens nothing again that
 * may be past its period.
 */
import {
  MOST_SLICES,
  parseSlice,
  sliceAt,
  type SliceName,
  sliceName,
  type SliceSpec,
} from "@bulkhead/schema";
import { type ClockVerdict, EARLIEST_PLAUSIBLE_MS } from "./retention-clock.ts";

/** Now is between the two; `earliestMs` null: nothing is certain enough to destroy by. */
export interface TimeSpan {
  readonly earliestMs: number | null;
  readonly latestMs: number;
}

/** A clock that jumps about makes slices for each time that it shows: at most so many. */
const MOST_STANDING = 2 * MOST_SLICES;

/** From what the retention clock makes of the host's clock. */
export function timeSpanOf({ nowMs, gapMs }: ClockVerdict, wallMs: number): TimeSpan {
  return { earliestMs: nowMs, latestMs: Math.max(wallMs, wallMs - gapMs) };
}

/** All that a slice is for is older than the period. */
export function isPast(slice: SliceName, periodMs: number, atMs: number): boolean {
  const times = parseSlice(slice);
  return times !== null && times.endMs + periodMs <= atMs;
}

/** What a record of now goes into, and the one after it, so that there is one at the turn. */
export function slicesAhead({ lengthMs }: SliceSpec, latestMs: number): readonly SliceName[] {
  if (latestMs < EARLIEST_PLAUSIBLE_MS) return [];
  const current = sliceAt(latestMs, lengthMs);
  const names = [current, sliceAt(current.endMs, lengthMs)].map(sliceName);
  return names.filter((name) => parseSlice(name) !== null);
}

/**
 * What shall be open of a volume, in order of time: what is kept and cannot be past its period, and what is ahead.
 * @param kept those of whose keys there is a record. @param spent those of whose keys there is none any more
 */
export function slicesToOpen(
  policy: SliceSpec,
  latestMs: number,
  kept: readonly SliceName[],
  spent: readonly SliceName[] = [],
): readonly SliceName[] {
  const live = kept.filter((slice) => !isPast(slice, policy.periodMs, latestMs));
  const room = Math.max(0, MOST_STANDING - kept.length - spent.length);
  const fresh = slicesAhead(policy, latestMs).filter(
    (slice) => !kept.includes(slice) && !spent.includes(slice),
  );
  return [...live, ...fresh.slice(0, room)].toSorted();
}
