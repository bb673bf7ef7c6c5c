/** Tap counter: the test kit's receiver at one tap, on the cores that the sender leaves. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { text } from "node:stream/consumers";
import type { PacketTools, ReceiveReport } from "@bulkhead/testkit";
import { OTHER_CORES } from "./burst.ts";
import type { Place } from "./place.ts";

export interface TapCounter extends AsyncDisposable {
  /** `lost`: missing of so many that were sent; `unread`: of these, dropped at the receiver's own socket. */
  finish(sent: number): Promise<{ readonly lost: number; readonly unread: number }>;
}

/** Room for half a million small frames: what a reader may be late. */
const RING_MIB = 64;

export async function startCounting(tools: PacketTools, place: Place): Promise<TapCounter> {
  const inside = ["-t", String(place.pid), "-n", "--", "taskset", "-c", OTHER_CORES];
  const argv = [...inside, tools.recv, "--interfaces", "mon0", "--ring-mib", String(RING_MIB)];
  const child = spawn("nsenter", argv, { stdio: ["ignore", "pipe", "pipe"] });
  const ended = once(child, "close");
  const printed = text(child.stdout);
  await once(child.stderr, "data"); // it says that it is ready, or why it ends
  const stop = async (): Promise<void> => {
    child.kill("SIGTERM");
    await ended;
  };
  return {
    async finish(sent) {
      await stop();
      const { interfaces } = JSON.parse(await printed) as { readonly interfaces: readonly ReceiveReport[] };
      const [report] = interfaces; // recv.c prints exactly this shape
      if (report === undefined) throw new Error("the receiver reported nothing");
      return { lost: sent - report.unique, unread: report.drops };
    },
    [Symbol.asyncDispose]: stop,
  };
}
