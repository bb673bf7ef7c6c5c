/**
 * Loss: a rate that is no limit, receivers on all taps, and what is missing among the sequence numbers.
 *
 * Invariants: a frame that came to a receiver's socket and found no room there is the receiver's loss (the kernel
 * counts it, PACKET_STATISTICS), and is told apart; what the datapath lost is all the rest.
 */
import type { PacketTools } from "@bulkhead/testkit";
import { type Result, resultOf } from "../result.ts";
import { FRAME_SIZES, type FrameSize, runBurst } from "./burst.ts";
import { LOSS_GOAL } from "./datapath-goals.ts";
import type { Run } from "./effort.ts";
import type { Lane } from "./lane.ts";
import { startCounting } from "./tap-counter.ts";

/** @param rate frames a second */
export async function measureLoss(
  run: Run,
  tools: PacketTools,
  rate: number,
  bulkhead: Lane,
  tc: Lane,
): Promise<readonly Result[]> {
  const results: Result[] = [];
  for (const size of FRAME_SIZES) {
    const found = new Map<Lane, number[]>([bulkhead, tc].map((lane) => [lane, []]));
    for (let turn = 0; turn < run.effort.lossRuns; turn += 1) {
      for (const [lane, samples] of found) {
        run.signal.throwIfAborted();
        samples.push(await lostIn(run, lane, { tools, size, rate }));
      }
    }
    results.push(
      resultOf({
        id: `datapath.loss.8x${size}`,
        unit: "frames",
        samples: found.get(bulkhead) ?? [],
        // Any loss counts, not the usual one.
        value: Math.max(...(found.get(bulkhead) ?? [])),
        beside: { tc: found.get(tc) ?? [] },
        goals: [LOSS_GOAL],
      }),
    );
  }
  return results;
}

async function lostIn(
  run: Run,
  lane: Lane,
  { tools, size, rate }: { readonly tools: PacketTools; readonly size: FrameSize; readonly rate: number },
): Promise<number> {
  await using counters = new AsyncDisposableStack();
  const counting = [];
  for (const place of lane.places) counting.push(counters.use(await startCounting(tools, place)));
  const seconds = run.effort.lossSeconds;
  const { sent } = await runBurst({ tools, path: lane.path, size, seconds, rate });
  const counts = await Promise.all(counting.map((counter) => counter.finish(sent)));
  const lost = sum(counts.map((count) => count.lost));
  const unread = sum(counts.map((count) => count.unread));
  const words = `${lane.name}, ${size}: ${sent} frames at ${Math.round(rate)} a second to ${counts.length} taps`;
  run.say(
    `${words}, ${lost - unread} lost${unread > 0 ? `, ${unread} more not read in time by the receivers` : ""}`,
  );
  return lost - unread;
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
