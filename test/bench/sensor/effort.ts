/** Effort: how much is measured, for a full run (under 15 minutes) and a quick one (3 to 4). */

export interface Effort {
  /** Bursts of each lane at each point: many short ones, so that most meet no disturbance. */
  readonly bursts: number;
  readonly burstSeconds: number;
  /** In place of so many short bursts, a lane that queues frames gets one that is as many times as long. */
  readonly queueFactor: number;
  /** Rate-limited runs for losses. */
  readonly lossRuns: number;
  readonly lossSeconds: number;
  readonly probeRounds: number;
  /** Probes of each kind in a round. */
  readonly probes: number;
  readonly idleSeconds: number;
  /** How often an instrument is restarted, and a tap added. */
  readonly orders: number;
}

export const FULL: Effort = {
  bursts: 35,
  burstSeconds: 0.1,
  queueFactor: 7,
  lossRuns: 5,
  lossSeconds: 2,
  probeRounds: 10,
  probes: 60,
  idleSeconds: 30,
  orders: 5,
};

export const QUICK: Effort = {
  bursts: 11,
  burstSeconds: 0.08,
  queueFactor: 5,
  lossRuns: 2,
  lossSeconds: 1,
  probeRounds: 4,
  probes: 40,
  idleSeconds: 8,
  orders: 2,
};

/** What each scenario is told: where to say how far it is, and when to stop. */
export interface Run {
  readonly effort: Effort;
  readonly say: (words: string) => void;
  readonly signal: AbortSignal;
}
