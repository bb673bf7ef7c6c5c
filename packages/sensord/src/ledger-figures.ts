/**
 * Ledger figures: from counts that were read at different moments, one row whose sums come out,
 * whose figures never go backwards, and which is exact when traffic rests. Pure.
 *
 * Frames on their way are the difficulty: what has entered a stage and not yet left it looks
 * lost. So each stage is compared with a *later* reading of the next one: frames that entered by
 * the earlier moment have left by the later one, or are lost. A loss is thus never overstated;
 * it is fully stated as soon as the traffic after it has been counted, or has ended.
 */
import type { LedgerFigures } from "@bulkhead/schema";
import type { Totals } from "./ledger-count.ts";

export const NO_FIGURES: LedgerFigures = {
  seen: 0,
  filtered: 0,
  mirrored: 0,
  notMirrored: 0,
  wireDropped: 0,
  received: 0,
  processed: 0,
  toolDropped: 0,
  guardDropped: 0,
};

/** Counts along the path of a frame, each read after the one before. */
export interface PathReading {
  readonly first: Totals;
  readonly second: Totals;
  readonly third: Totals;
  /** What the tool has processed by a moment after `third`. */
  readonly processed: number;
}

export function advanceFigures(former: LedgerFigures, path: PathReading): LedgerFigures {
  return atRest(path) ? restingFigures(former, path) : laterFigures(former, path);
}

/** Nothing moved between the readings: what was not passed on is lost. */
export function exactFigures(totals: Totals, toolProcessed: number): LedgerFigures {
  const { seen, guardDropped } = totals;
  const matched = Math.min(totals.matched, seen);
  const notMirrored = Math.min(totals.notMirrored, matched);
  const mirrored = matched - notMirrored;
  const received = Math.min(totals.received, mirrored);
  const processed = Math.min(toolProcessed, received);
  return {
    seen,
    filtered: seen - matched,
    mirrored,
    notMirrored,
    wireDropped: mirrored - received,
    received,
    processed,
    toolDropped: received - processed,
    guardDropped,
  };
}

/**
 * What was said to be lost stays lost, whatever a tool says later: it also counts frames that its own instrument tried
 * to send, which were never mirrored (packet(7): a socket is handed outgoing packets too).
 */
function restingFigures(former: LedgerFigures, { third, processed }: PathReading): LedgerFigures {
  const exact = exactFigures(third, processed);
  const possible = Math.max(former.processed, exact.received - former.toolDropped);
  const within = Math.min(exact.processed, possible);
  return { ...exact, processed: within, toolDropped: exact.received - within };
}

function laterFigures(
  former: LedgerFigures,
  { first, second, third, processed }: PathReading,
): LedgerFigures {
  const seen = Math.max(former.seen, first.seen);
  const matched = split(seen, second.matched, former.seen - former.filtered, former.filtered);
  const mirrored = split(
    matched.passed,
    second.matched - second.notMirrored,
    former.mirrored,
    former.notMirrored,
  );
  const received = split(mirrored.passed, third.received, former.received, former.wireDropped);
  const done = split(received.passed, processed, former.processed, former.toolDropped);
  return {
    seen,
    filtered: matched.lost,
    mirrored: mirrored.passed,
    notMirrored: mirrored.lost,
    wireDropped: received.lost,
    received: received.passed,
    processed: done.passed,
    toolDropped: done.lost,
    guardDropped: Math.max(former.guardDropped, first.guardDropped),
  };
}

/**
 * Splits `total` frames that entered a stage into those that passed and those that were lost, so
 * that neither falls below its former figure. `passedLater` is read after `total`.
 */
function split(
  total: number,
  passedLater: number,
  passedBefore: number,
  lostBefore: number,
): { readonly passed: number; readonly lost: number } {
  const lost = Math.max(lostBefore, total - passedLater);
  const passed = Math.min(total, Math.max(passedBefore, total - lost));
  return { passed, lost: total - passed };
}

function atRest({ first, second, third }: PathReading): boolean {
  return (
    first.seen === third.seen &&
    first.matched === third.matched &&
    first.notMirrored === third.notMirrored &&
    first.received === third.received &&
    second.received === third.received
  );
}
