/**
 * The sensor's bench: datapath, from packet to event, cost and time, one after the other in one run.
 *
 * Invariants: what is made on the host goes at the end, also after a failure; a part that fails does not take the
 * results of the others with it, but is told, and the bench has failed then.
 */
import type { Result } from "../result.ts";
import { INSTRUMENTS } from "./bench-site.ts";
import { measureCost } from "./cost.ts";
import { measureDatapath } from "./datapath.ts";
import { FULL, QUICK, type Run } from "./effort.ts";
import { measureEvents } from "./events.ts";
import { openInstallation } from "./installation.ts";
import { applyBenchSite, makeSpan } from "./running-sensor.ts";
import { measureDemo, measureOrders } from "./time.ts";

export const SENSOR_PARTS = ["datapath", "events", "cost", "time"] as const;
export type SensorPart = (typeof SENSOR_PARTS)[number];

export interface SensorBenchOptions {
  readonly quick: boolean;
  /** Also measures the demo without any cache of the host. */
  readonly cold: boolean;
  /** Leaves the bench's installation standing. */
  readonly keep: boolean;
  readonly parts: readonly SensorPart[];
  readonly say: (words: string) => void;
  readonly signal: AbortSignal;
}

export interface SensorBenchOutcome {
  readonly results: readonly Result[];
  readonly failures: readonly { readonly part: string; readonly error: unknown }[];
}

/** An idle sensor: what was asked of it before is done. */
const REST_MS = 5_000;

export async function benchSensor(options: SensorBenchOptions): Promise<SensorBenchOutcome> {
  const results: Result[] = [];
  const failures: { part: string; error: unknown }[] = [];
  const measure = async (part: string, work: (run: Run) => Promise<readonly Result[]>): Promise<void> => {
    if (options.signal.aborted) return;
    const say = (words: string): void => options.say(`${part}: ${words}`);
    const effort = options.quick ? QUICK : FULL;
    try {
      results.push(...(await work({ effort, say, signal: options.signal })));
    } catch (error) {
      failures.push({ part, error });
    }
  };
  if (options.parts.includes("datapath")) await measure("datapath", measureDatapath);
  if (options.parts.some((part) => part !== "datapath")) {
    await measure("sensor", async () => {
      await onSensor(options, measure);
      return [];
    });
  }
  return { results, failures };
}

type Measure = (part: string, work: (run: Run) => Promise<readonly Result[]>) => Promise<void>;

async function onSensor(
  { parts, cold, keep, signal, say }: SensorBenchOptions,
  measure: Measure,
): Promise<void> {
  say("sensor: making way for an installation of the bench's own");
  await using installation = await openInstallation({ cold, keep });
  if (parts.includes("time")) await measure("time", (run) => measureDemo(run, installation, cold));
  else await installation.run("setup");
  signal.throwIfAborted();
  // Without the demo's network and its traffic.
  await installation.run("down");
  await installation.run("up");
  await using span = await makeSpan();
  signal.throwIfAborted();
  say("sensor: putting the bench's site in force");
  await applyBenchSite(installation, INSTRUMENTS, false);
  if (parts.includes("events")) await measure("events", (run) => measureEvents(run, installation, span.port));
  if (parts.includes("time")) await measure("time", (run) => measureOrders(run, installation));
  if (!parts.includes("cost")) return;
  await new Promise((resolve) => setTimeout(resolve, signal.aborted ? 0 : REST_MS));
  await measure("cost", (run) => measureCost(run, installation, INSTRUMENTS));
}
