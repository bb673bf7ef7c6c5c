/**
 * Bench of the bus: events through the gates beside the same events straight to the broker, in turn; what a flooding
 * instrument costs the others; and what gates for idle instruments hold of memory.
 *
 * Processes as on a sensor: gates, broker and instruments each their own; the instruments of one run share theirs.
 */
import { setTimeout as delay } from "node:timers/promises";
import type { Socket } from "node:net";
import type { BenchOutcome } from "../benches.ts";
import { type Measurement, type Result, resultOf } from "../result.ts";
import { pssBytes } from "../sensor/proc.ts";
import { type ChildProgram, startProgram } from "./child-process.ts";
import { measureBystanders } from "./flood.ts";
import { type Gates, userOf } from "./gate-host.ts";
import { connectRaw } from "./raw-client.ts";
import { measureLatency, measureThroughput, placeOf, WAYS } from "./throughput.ts";

export const BUS_PARTS = ["throughput", "latency", "flood", "memory"] as const;
export type BusPart = (typeof BUS_PARTS)[number];

export interface BusBenchOptions {
  readonly quick: boolean;
  readonly parts: readonly BusPart[];
  readonly say: (words: string) => void;
  readonly signal: AbortSignal;
}

const INSTRUMENTS = [1, 8, 32] as const;
const MOST = 32;
const SETTLE_MS = 2_000;

export async function benchBus(options: BusBenchOptions): Promise<BenchOutcome> {
  const { parts, signal } = options;
  const results: Result[] = [];
  const failures: { part: string; error: unknown }[] = [];
  for (const part of parts) {
    if (signal.aborted) break;
    options.say(part);
    try {
      results.push(...(await PARTS[part](options)));
    } catch (error) {
      failures.push({ part, error });
    }
  }
  return { results, failures };
}

const PARTS: Readonly<Record<BusPart, (options: BusBenchOptions) => Promise<readonly Result[]>>> = {
  throughput: async ({ quick, say, signal }) => {
    await using host = await openGates(MOST, "lifted");
    await using writer = startProgram("writer.ts");
    const messages = quick ? 100_000 : 400_000;
    const samples = await inTurn({ rounds: quick ? 3 : 9, say, signal }, async (way, instruments) => [
      await measureThroughput(host.gates, writer, { way, instruments, messages }),
    ]);
    return measured(samples, (instruments) => ({
      id: `bus.throughput.${instruments}`,
      unit: "events/s",
      goals: [
        {
          on: "direct",
          op: ">=",
          value: 0.6,
          note: `of the broker without a gate, ${instruments} instruments, 500 B`,
          heldBack: "the gate parses every control line in sensord's one thread",
        },
      ],
    }));
  },
  latency: async ({ quick, say, signal }) => {
    await using host = await openGates(MOST, "lifted");
    const messages = quick ? 1_000 : 4_000;
    const samples = await inTurn({ rounds: quick ? 3 : 7, say, signal }, (way, instruments) =>
      measureLatency(host.gates, { way, instruments, messages }),
    );
    return measured(samples, (instruments) => ({
      id: `bus.latency.${instruments}`,
      unit: "ms",
      goals: [
        {
          on: "direct",
          op: "<=",
          value: 1.4,
          note: `of the broker without a gate, ${instruments} instruments, 1,000 events a second`,
          heldBack: "one more process on the way, on the same cores",
        },
      ],
    }));
  },
  flood: async ({ quick, say, signal }) => {
    await using host = await openGates(4, "default");
    const forMs = quick ? 2_000 : 5_000;
    const alone: number[] = [];
    const flooded: number[] = [];
    for (let round = 0; round < (quick ? 3 : 7) && !signal.aborted; round += 1) {
      alone.push(await measureBystanders(host.gates, forMs, false));
      flooded.push(await measureBystanders(host.gates, forMs, true));
      // The flooder's budget is whole again, as at the begin of a flood.
      await delay(SETTLE_MS);
      say(`flood: round ${round + 1}`);
    }
    return [
      resultOf({
        id: "bus.flood.bystanders",
        unit: "events/s",
        samples: flooded,
        beside: { unflooded: alone },
        goals: [
          {
            on: "unflooded",
            op: ">=",
            value: 0.8,
            note: "three bystanders beside an instrument that floods",
            heldBack: "gates share sensord's one thread, whose time is what each gate has a budget of",
          },
        ],
      }),
    ];
  },
  memory: async () => {
    await using none = await openGates(1, "default");
    await using host = await openGates(MOST, "default");
    const sockets: Socket[] = [];
    for (let instrument = 0; instrument < MOST; instrument += 1) {
      const user = userOf(instrument);
      sockets.push(await connectRaw(placeOf(host.gates, "gate", instrument), user, user));
    }
    await delay(SETTLE_MS);
    const held = await memoryBytes(host);
    const base = await memoryBytes(none);
    sockets.forEach((socket) => void socket.destroy());
    return [
      resultOf({
        id: "bus.memory.32",
        unit: "MB",
        samples: [held / 1e6],
        beside: { "one-gate-unused": [base / 1e6] },
      }),
    ];
  },
};

interface GateHost extends AsyncDisposable {
  readonly gates: Gates;
  readonly pid: number;
}

async function openGates(count: number, limits: "lifted" | "default"): Promise<GateHost> {
  const program: ChildProgram = startProgram("gate-host.ts", String(count), limits);
  const gates: Gates = JSON.parse(await program.line());
  return { gates, pid: program.pid, [Symbol.asyncDispose]: () => program[Symbol.asyncDispose]() };
}

/** Of the gates' process and the broker. */
async function memoryBytes({ pid, gates }: GateHost): Promise<number> {
  const [own, broker] = [await pssBytes(pid), await pssBytes(gates.brokerPid)];
  if (own === null || broker === null) throw new Error("the gates or their broker have ended");
  return own + broker;
}

type Samples = ReadonlyMap<string, readonly number[]>;

/** The ways take turns at each number of instruments; the first round warms up. */
async function inTurn(
  {
    rounds,
    say,
    signal,
  }: { readonly rounds: number; readonly say: (words: string) => void; readonly signal: AbortSignal },
  measure: (way: (typeof WAYS)[number], instruments: number) => Promise<readonly number[]>,
): Promise<Samples> {
  const samples = new Map<string, number[]>();
  for (let round = 0; round <= rounds && !signal.aborted; round += 1) {
    for (const instruments of INSTRUMENTS) {
      for (const way of WAYS) {
        const found = await measure(way, instruments);
        if (round === 0) continue;
        const key = `${instruments} ${way}`;
        samples.set(key, [...(samples.get(key) ?? []), ...found]);
      }
    }
    say(round === 0 ? "warm" : `round ${round} of ${rounds}`);
  }
  return samples;
}

function measured(
  samples: Samples,
  describe: (instruments: number) => Pick<Measurement, "id" | "unit" | "goals">,
): readonly Result[] {
  return INSTRUMENTS.map((instruments) =>
    resultOf({
      ...describe(instruments),
      samples: samples.get(`${instruments} gate`) ?? [],
      beside: { direct: samples.get(`${instruments} direct`) ?? [] },
    }),
  );
}
