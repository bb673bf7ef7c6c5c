/**
 * Burst: test frames as fast as one core sends them, and how many came out at each end.
 *
 * Invariants: the sender has a core to itself (the last one, at the highest priority of ordinary processes, so that
 * others on the machine disturb little): what the kernel does for a frame is paid there, and copiers of user space
 * have the other cores at the same priority. A rate is what was delivered, never what was offered.
 */
import { availableParallelism } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import { namespacePath, type PacketTools, runCommand } from "@bulkhead/testkit";

export const FRAME_SIZES = [60, "imix", 1514] as const;
export type FrameSize = (typeof FRAME_SIZES)[number];

/** Where frames go in, and the counts of all ends at which they come out. */
export interface BurstPath {
  readonly namespace: string;
  readonly device: string;
  /** Counts of frames since the beginning, one for each end. */
  received(): Promise<readonly number[]>;
}

export interface BurstOptions {
  readonly tools: PacketTools;
  readonly path: BurstPath;
  readonly size: FrameSize;
  readonly seconds: number;
  /** Frames a second; as fast as possible if absent. */
  readonly rate?: number;
}

/** `perSecond`: what the end that got least was given. */
export interface BurstReport {
  readonly sent: number;
  readonly perSecond: number;
}

interface Sent {
  readonly sent: number;
  readonly seconds: number;
}

export const SENDER_CORE: string = String(availableParallelism() - 1);
/** All cores but the sender's; on a single core they share it. */
export const OTHER_CORES: string = availableParallelism() === 1 ? "0" : `0-${availableParallelism() - 2}`;

/** A copier of user space may still hold frames when the sender ends. */
const SETTLE_MS = 20;

export async function runBurst({ tools, path, size, seconds, rate }: BurstOptions): Promise<BurstReport> {
  const before = await path.received();
  const inside = [
    `--net=${namespacePath(path.namespace)}`,
    "--",
    "nice",
    "-n",
    "-20",
    "taskset",
    "-c",
    SENDER_CORE,
  ];
  const sending = [
    tools.send,
    "--interface",
    path.device,
    "--size",
    String(size),
    "--seconds",
    String(seconds),
  ];
  const pace = rate === undefined ? [] : ["--rate", String(rate)];
  const { stdout } = await runCommand("nsenter", [...inside, ...sending, ...pace]);
  const report = JSON.parse(stdout) as Sent; // send.c prints exactly this shape
  await sleep(SETTLE_MS);
  const after = await path.received();
  const delivered = after.map((count, end) => count - (before[end] ?? 0));
  return { sent: report.sent, perSecond: Math.min(...delivered) / report.seconds };
}
