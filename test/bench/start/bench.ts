/**
 * Start: how long an instrument takes to start with everything on (keys, volumes, sockets, limits,
 * read-back of the container), beside the same image under plain LXD, in turn.
 */
import { API_ROUTES } from "@bulkhead/schema";
import * as z from "zod";
import type { BenchOptions, BenchOutcome } from "../benches.ts";
import { type Result, resultOf } from "../result.ts";
import { type Installation, openInstallation } from "../sensor/installation.ts";
import { untilRunning } from "../sensor/running-sensor.ts";
import { makePlainContainer } from "./plain-container.ts";

export const START_PARTS = ["start"] as const;
const INSTRUMENT = "hi";
const SITE = `apiVersion: bulkhead/v1
sensor: bench
instruments:
  ${INSTRUMENT}: { package: hello }
`;
const ROUNDS = { quick: 5, full: 20 } as const;

export async function benchStart({ quick, keep, say, signal }: BenchOptions): Promise<BenchOutcome> {
  try {
    return {
      results: await measure(quick ? ROUNDS.quick : ROUNDS.full, { keep, say, signal }),
      failures: [],
    };
  } catch (error) {
    return { results: [], failures: [{ part: "start", error }] };
  }
}

async function measure(
  rounds: number,
  { keep, say, signal }: Pick<BenchOptions, "keep" | "say" | "signal">,
): Promise<readonly Result[]> {
  say("start: making way for an installation of the bench's own");
  await using installation = await openInstallation({ cold: false, keep });
  await installation.run("setup");
  await installation.run("up");
  await installation.apply(SITE);
  await untilRunning(installation, [INSTRUMENT]);
  const { slug, nodeDir } = installation.layout;
  await using plain = await makePlainContainer({ project: slug, instance: INSTRUMENT, nodeDir });
  const [contained, bare]: [number[], number[]] = [[], []];
  const ready: number[] = [];
  // The first of each warms the host's caches and does not count.
  for (let round = 0; round <= rounds; round += 1) {
    signal.throwIfAborted();
    await order(installation, "stop");
    const began = performance.now();
    await order(installation, "start");
    const startedMs = performance.now() - began;
    await untilRunning(installation, [INSTRUMENT]);
    const readyMs = performance.now() - began;
    const bareMs = await took(() => plain.start());
    await plain.stop();
    if (round === 0) continue;
    contained.push(startedMs);
    ready.push(readyMs);
    bare.push(bareMs);
    say(`start: ${Math.round(startedMs)} ms, plain LXD ${Math.round(bareMs)} ms`);
  }
  return [
    resultOf({
      id: "start.instrument",
      unit: "ms",
      samples: contained,
      beside: { lxd: bare },
      goals: [
        {
          on: "lxd",
          op: "<=",
          value: 1.5,
          note: "an instrument's start beside a plain container's",
          heldBack: "looking at the host before and after the start, and reading the container back",
        },
      ],
    }),
    resultOf({ id: "start.ready", unit: "ms", samples: ready, beside: { lxd: bare } }),
  ];
}

async function order({ api }: Installation, verb: "start" | "stop"): Promise<void> {
  await api.post(API_ROUTES[verb].path.replace("{instrument}", INSTRUMENT), z.looseObject({}));
}

async function took(work: () => Promise<void>): Promise<number> {
  const beganMs = performance.now();
  await work();
  return performance.now() - beganMs;
}
