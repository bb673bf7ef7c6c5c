/** Which benches there are: what each measures, in parts that can be asked for by name, and how. */
import { benchBus, BUS_PARTS } from "./bus/bench.ts";
import { ATTACKS, benchNoisy } from "./noisy/bench.ts";
import type { Result } from "./result.ts";
import { benchRules, RULES_PARTS } from "./rules/bench.ts";
import { benchSensor, SENSOR_PARTS } from "./sensor/bench.ts";
import { benchStart, START_PARTS } from "./start/bench.ts";
import { benchVault, VAULT_PARTS } from "./vault/bench.ts";

export interface BenchOptions {
  readonly quick: boolean;
  /** Also without caches of the host. */
  readonly cold: boolean;
  /** Leaves the bench's installation standing. */
  readonly keep: boolean;
  /** Some or all of the bench's parts, in its order. */
  readonly parts: readonly string[];
  readonly say: (words: string) => void;
  readonly signal: AbortSignal;
}

/** What was measured, and what could not be. */
export interface BenchOutcome {
  readonly results: readonly Result[];
  readonly failures: readonly { readonly part: string; readonly error: unknown }[];
}

export interface Bench {
  readonly title: string;
  readonly parts: readonly string[];
  measure(options: BenchOptions): Promise<BenchOutcome>;
}

export const BENCHES: Readonly<Record<string, Bench>> = {
  sensor: {
    title: "the sensor, beside what it could be compared with",
    parts: SENSOR_PARTS,
    measure: (options) => benchSensor({ ...options, parts: chosen(SENSOR_PARTS, options.parts) }),
  },
  noisy: {
    title: "what one instrument's excess costs the others",
    parts: ATTACKS,
    measure: (options) => benchNoisy({ ...options, only: chosen(ATTACKS, options.parts) }),
  },
  start: {
    title: "an instrument's start with everything on, beside plain LXD",
    parts: START_PARTS,
    measure: benchStart,
  },
  bus: {
    title: "events through the gates beside the broker alone",
    parts: BUS_PARTS,
    measure: (options) => benchBus({ ...options, parts: chosen(BUS_PARTS, options.parts) }),
  },
  rules: {
    title: "50,000 rules through Rule Manager, beside suricata-update",
    parts: RULES_PARTS,
    measure: (options) => benchRules({ ...options, parts: chosen(RULES_PARTS, options.parts) }),
  },
  vault: {
    title: "encrypted volumes beside plain ext4 and gocryptfs",
    parts: VAULT_PARTS,
    measure: (options) => benchVault({ ...options, parts: chosen(VAULT_PARTS, options.parts) }),
  },
};

function chosen<T extends string>(all: readonly T[], names: readonly string[]): readonly T[] {
  return all.filter((part) => names.includes(part));
}
