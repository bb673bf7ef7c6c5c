/**
 * Result: what a bench prints as JSON, and how samples become it.
 *
 * Invariants: a ratio is the value divided by what stands beside it; an aim that could not be judged is not met, and
 * an aim that is not met says what holds it back. docs/bench.md explains the ids.
 */
import * as z from "zod";
import { round, summarise } from "./measure.ts";

export const Aim = z.strictObject({
  /** `value`, or a name in `ratio`. */
  on: z.string().min(1),
  op: z.enum(["<=", ">="]),
  value: z.number(),
  met: z.boolean(),
  /** What the aim is about; where it is not met, what holds it back. */
  note: z.string(),
});
export type Aim = z.infer<typeof Aim>;

export const Result = z.strictObject({
  id: z.string().regex(/^[a-z0-9]+([.-][a-z0-9]+)*$/),
  value: z.number(),
  unit: z.string().min(1),
  /** First and third quartile. */
  spread: z.tuple([z.number(), z.number()]),
  beside: z.record(z.string(), z.number()),
  ratio: z.record(z.string(), z.number()),
  aims: z.array(Aim),
});
export type Result = z.infer<typeof Result>;

export const Report = z.strictObject({
  bench: z.string().min(1),
  host: z.strictObject({
    cpu: z.string(),
    cores: z.int().positive(),
    kernel: z.string(),
    system: z.string(),
    memoryBytes: z.int().positive(),
    node: z.string(),
    /** Processes that wanted a core (one-minute mean) before the bench began: the noise. */
    loadBefore: z.number(),
  }),
  results: z.array(Result),
});
export type Report = z.infer<typeof Report>;

/** An aim as a bench states it, before anything is measured. */
export interface Goal {
  readonly on: string;
  readonly op: "<=" | ">=";
  readonly value: number;
  readonly note: string;
  /** Said if the aim is not met: what holds it back, as far as it is known. */
  readonly heldBack: string;
}

export interface Measurement {
  readonly id: string;
  readonly unit: string;
  readonly samples: readonly number[];
  /** In place of the samples' median and quartiles, where they are not what is asked for. */
  readonly value?: number;
  readonly spread?: readonly [number, number];
  /** Samples of the same thing done otherwise. */
  readonly beside?: Readonly<Record<string, readonly number[]>>;
  readonly goals?: readonly Goal[];
}

/** @throws RangeError for a measurement without samples. */
export function resultOf(measurement: Measurement): Result {
  const { id, unit, samples, beside = {}, goals = [] } = measurement;
  const summary = summarise(samples);
  const value = measurement.value ?? summary.median;
  const [low, high] = measurement.spread ?? summary.spread;
  const medians = mapValues(beside, (each) => summarise(each).median);
  const ratio = mapValues(medians, (median) => round(value / median));
  const found = (on: string, each: number): number | undefined =>
    on === "value" ? each : medians[on] === undefined ? undefined : each / medians[on];
  return {
    id,
    value: round(value),
    unit,
    spread: [round(low), round(high)],
    beside: mapValues(medians, round),
    // JSON has no infinity: beside nothing there is no ratio.
    ratio: Object.fromEntries(Object.entries(ratio).filter(([, each]) => Number.isFinite(each))),
    aims: goals.map((goal) => {
      const better = goal.op === "<=" ? low : high;
      return judge(goal, found(goal.on, value), found(goal.on, better));
    }),
  };
}

/** @param better the same at the quartile that is nearer to the aim: tells a miss from a disturbed run */
function judge(goal: Goal, measured: number | undefined, better: number | undefined): Aim {
  const { on, op, value, note, heldBack } = goal;
  if (measured === undefined || better === undefined || !Number.isFinite(measured)) {
    return { on, op, value, met: false, note: `${note}; not measured: ${heldBack}` };
  }
  const meets = (each: number): boolean => (op === "<=" ? round(each) <= value : round(each) >= value);
  if (meets(measured)) return { on, op, value, met: true, note };
  const noise = meets(better) ? "; the better quartile of this run meets it" : "";
  return { on, op, value, met: false, note: `${note}; held back: ${heldBack}${noise}` };
}

function mapValues<A, B>(
  record: Readonly<Record<string, A>>,
  change: (value: A) => B,
): Readonly<Record<string, B>> & Record<string, B> {
  return Object.fromEntries(Object.entries(record).map(([key, value]) => [key, change(value)]));
}
