/**
 * Datapath scenario: how fast copies are made, for 1 to 8 taps and three mixes of frame sizes.
 *
 * Invariants: at each point bursts of all lanes follow each other in turn, so that a disturbance of the machine meets
 * all alike; every lane stands from the beginning to the end; the value is what the tap that got least was given.
 */
import { buildPacketTools, type PacketTools } from "@bulkhead/testkit";
import { type Measurement, type Result, resultOf } from "../result.ts";
import { type BulkheadLane, openBulkheadLane } from "./bulkhead-lane.ts";
import { FRAME_SIZES, type FrameSize, OTHER_CORES, runBurst, SENDER_CORE } from "./burst.ts";
import { COPIERS, openCopierLane } from "./copier-lane.ts";
import { copyCost } from "./copy-cost.ts";
import { pointGoals } from "./datapath-goals.ts";
import type { Run } from "./effort.ts";
import type { Lane } from "./lane.ts";
import { measureLoss } from "./loss.ts";
import { findPeerPrograms } from "./peer-programs.ts";
import { openPlainLane } from "./plain-lane.ts";
import { openTcLane } from "./tc-lane.ts";

const TAP_COUNTS = [1, 2, 4, 8] as const;

export async function measureDatapath(run: Run): Promise<readonly Result[]> {
  const tools = await buildPacketTools();
  await using lanes = new AsyncDisposableStack();
  const bulkhead = lanes.use(await openBulkheadLane());
  const others = [lanes.use(await openPlainLane())];
  for (const way of ["tc", "tc-u32"] as const) others.push(lanes.use(await openTcLane(way)));
  const results: Result[] = [];
  let taps = 0;
  let eightOfTc = 0;
  for (const wanted of TAP_COUNTS) {
    for (; taps < wanted; taps += 1) for (const lane of [bulkhead, ...others]) await lane.addTap();
    await using copiers = new AsyncDisposableStack();
    const peers = taps === 1 ? await openCopiers(run, copiers) : [];
    for (const size of FRAME_SIZES) {
      run.say(
        `${taps} taps, ${size}: ${run.effort.bursts} bursts of each of ${others.length + peers.length + 1} ways`,
      );
      const point = await measurePoint(run, tools, size, bulkhead, [...others, ...peers]);
      results.push(resultOf({ id: `datapath.${taps}x${size}`, ...point, goals: pointGoals(taps) }));
      if (taps === 8 && size === 60) eightOfTc = results.at(-1)?.beside["tc"] ?? 0;
    }
  }
  const tc = others.find((lane) => lane.name === "tc");
  if (tc !== undefined) results.push(...(await measureLoss(run, tools, eightOfTc / 2, bulkhead, tc)));
  const oneCore = await measureOneCore(run, tools);
  const costs = FRAME_SIZES.flatMap((size) => {
    const eight = results.find(({ id }) => id === `datapath.8x${size}`);
    return eight === undefined
      ? []
      : [
          copyCost(
            eight,
            oneCore.find(({ id }) => id.endsWith(`.1x${size}`)),
          ),
        ];
  });
  return [...results, ...oneCore, ...costs, tapResult(bulkhead)];
}

type Point = Pick<Measurement, "unit" | "samples" | "beside">;

async function measurePoint(
  run: Run,
  tools: PacketTools,
  size: FrameSize,
  bulkhead: Lane,
  others: readonly Lane[],
): Promise<Point> {
  const rates = new Map<Lane, number[]>([bulkhead, ...others].map((lane) => [lane, []]));
  const { bursts, burstSeconds, queueFactor } = run.effort;
  for (let burst = 0; burst < bursts; burst += 1) {
    for (const [lane, samples] of rates) {
      run.signal.throwIfAborted();
      if (lane.queues && burst % queueFactor !== 0) continue;
      const seconds = lane.queues ? burstSeconds * queueFactor : burstSeconds;
      samples.push((await runBurst({ tools, path: lane.path, size, seconds })).perSecond);
    }
  }
  const beside = Object.fromEntries(others.map((lane) => [lane.name, rates.get(lane) ?? []]));
  return { unit: "frames/s", samples: rates.get(bulkhead) ?? [], beside };
}

/** The same with one core for everything: sender, mirror or copier, and delivery. */
async function measureOneCore(run: Run, tools: PacketTools): Promise<readonly Result[]> {
  const programs = await findPeerPrograms();
  await using lanes = new AsyncDisposableStack();
  const bulkhead = lanes.use(await openBulkheadLane());
  await bulkhead.addTap();
  const peers =
    "missing" in programs ? [] : [lanes.use(await openCopierLane("daemonlogger", programs, SENDER_CORE))];
  const results: Result[] = [];
  for (const size of FRAME_SIZES) {
    run.say(`one core for all, ${size}`);
    const point = await measurePoint(run, tools, size, bulkhead, peers);
    results.push(resultOf({ id: `datapath.one-core.1x${size}`, ...point }));
  }
  return results;
}

async function openCopiers(run: Run, stack: AsyncDisposableStack): Promise<readonly Lane[]> {
  const programs = await findPeerPrograms();
  if ("missing" in programs) {
    run.say(`copiers of user space are left out: ${programs.missing}`);
    return [];
  }
  const lanes: Lane[] = [];
  for (const copier of COPIERS) lanes.push(stack.use(await openCopierLane(copier, programs, OTHER_CORES)));
  return lanes;
}

function tapResult({ tapMs }: BulkheadLane): Result {
  return resultOf({ id: "datapath.add-tap", unit: "ms", samples: tapMs });
}
