/** Goals of the datapath: what is aimed at for each number of taps, and what stands in the way as far as it is known. */
import type { Goal } from "../result.ts";

/** Of bare tc at any number of taps; of the limit with 1 tap and with 8; of a copier with 1. */
export function pointGoals(taps: number): readonly Goal[] {
  const limit = LIMIT_SHARES.get(taps);
  return [
    TC_GOAL,
    ...(limit === undefined ? [] : [limitGoal(taps, limit)]),
    ...(taps === 1 ? [COPIER_GOAL] : []),
  ];
}

const COPIER_GOAL: Goal = {
  on: "daemonlogger",
  op: ">=",
  value: 4,
  note: "frames of an unlimited sender that arrive, against a copier in user space",
  heldBack:
    "sender, mirror and delivery share one core here, and what that core sends without any mirror (limit) is less " +
    "than four times what the copier takes; datapath.copy compares the copying alone",
};

export const LOSS_GOAL: Goal = {
  on: "value",
  op: "<=",
  value: 0,
  note: "frames lost in the datapath at half of bare tc's rate, 8 taps",
  heldBack: "a backlog of the kernel ran over while the core was taken by others (netdev_max_backlog)",
};

const LIMIT_SHARES: ReadonlyMap<number, number> = new Map([
  [1, 0.55],
  [8, 0.22],
]);

const TC_GOAL: Goal = {
  on: "tc",
  op: ">=",
  value: 0.95,
  note: "of bare tc with a filter for each tap",
  heldBack: "guards and counters behind the taps' filters: one more filter for each frame of the span",
};

function limitGoal(taps: number, value: number): Goal {
  return {
    on: "limit",
    op: ">=",
    value,
    note: `of a veth without any mirror, with ${taps} tap${taps === 1 ? "" : "s"}`,
    heldBack: "each copy passes the kernel's stack once more on the same core",
  };
}
