/**
 * Ledger path: which readings of a tap's counters may be joined with what its tool last said.
 * Pure.
 *
 * A tool reports every few seconds and late, so it is joined with readings from before its
 * report. While a tool that should answer is silent, nothing is concluded for a while; a tool
 * that does not run processes nothing, and what arrives for it counts as dropped at once.
 */
import { REPORT_STALE_MS } from "./health.ts";
import type { Totals } from "./ledger-count.ts";
import type { PathReading } from "./ledger-figures.ts";

/** What a report tells of packets may be this old when it arrives. */
const REPORT_LAG_MS = 2000;
/** Readings kept for each tap: at one each 2 s they reach back further than a stale report. */
export const SAMPLES_KEPT = 20;

export interface Sample {
  readonly atMs: number;
  readonly totals: Totals;
}

export interface ToolSight {
  /** What the tool has processed over all its starts, as last reported. */
  readonly processed: number;
  /** When that was received; null where nothing was. */
  readonly reportedAtMs: number | null;
  /** Whether its container runs, as warden sees it. */
  readonly running: boolean;
  /** Since when it has been expected to report. */
  readonly expectedSinceMs: number;
}

/** `samples` oldest first. Null: nothing can be said yet, the former figures stand. */
export function choosePath(samples: readonly Sample[], tool: ToolSight, nowMs: number): PathReading | null {
  const horizonMs = horizonOf(tool, nowMs);
  const last = samples.findLastIndex((sample) => sample.atMs <= horizonMs);
  const [first, second, third] = samples.slice(Math.max(0, last - 2), last + 1);
  if (first === undefined || second === undefined || third === undefined) return null;
  return {
    first: first.totals,
    second: second.totals,
    third: third.totals,
    processed: tool.processed,
  };
}

/** Readings up to this moment are accounted for by what the tool said. */
function horizonOf(tool: ToolSight, nowMs: number): number {
  if (!tool.running) return nowMs;
  const heardAtMs = Math.max(tool.reportedAtMs ?? tool.expectedSinceMs, tool.expectedSinceMs);
  if (nowMs - heardAtMs > REPORT_STALE_MS) return nowMs;
  return tool.reportedAtMs === null ? Number.NEGATIVE_INFINITY : tool.reportedAtMs - REPORT_LAG_MS;
}
