/**
 * Traffic of the demo network, benign and not, at a rate and for as long as asked.
 *
 * Invariants: the rate is an upper bound; one activity is under way at a time for each client, so a slow host slows
 * the traffic and nothing queues up; failed activities are counted and named, never hidden.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { type AttackId, ATTACK_IDS, ATTACKS } from "./attacks.ts";
import { type Activity, activityAt } from "./demo-activity.ts";
import type { DemoHosts } from "./demo-hosts.ts";

export interface TrafficOptions {
  readonly hosts: DemoHosts;
  /** Activities a second, of all clients together. */
  readonly rate: number;
  /** How many activities; for ever if absent. */
  readonly rounds?: number;
  /** Number of the first activity: another start means names that were not asked before. */
  readonly first?: number;
  readonly signal?: AbortSignal;
  /** Told of each activity that failed. */
  readonly onFailure?: (activity: Activity, error: Error) => void;
}

export interface TrafficReport {
  readonly done: Readonly<Record<Activity["kind"], number>>;
  readonly failures: readonly string[];
}

const CLIENTS = ["client1", "client2"] as const;
/** Failures that a report quotes; the rest is only counted by `onFailure`. */
const MAX_FAILURES = 100;

/** Benign traffic of both clients; ends after `rounds`, or when the signal says so. */
export async function runTraffic(options: TrafficOptions): Promise<TrafficReport> {
  const done = { http: 0, tls: 0, dns: 0, ping: 0, ssh: 0 };
  const failures: string[] = [];
  const { hosts, signal } = options;
  const last = (options.first ?? 0) + (options.rounds ?? Number.POSITIVE_INFINITY);
  let next = options.first ?? 0;
  const isOver = (): boolean => next >= last || signal?.aborted === true;
  const runClient = async (client: (typeof CLIENTS)[number]): Promise<void> => {
    while (!isOver()) {
      const activity = activityAt(next);
      next += 1;
      const earliestNextMs = performance.now() + (1_000 * CLIENTS.length) / options.rate;
      try {
        await hosts.ask(client, { kind: "act", activity, trustedCert: hosts.trustedCert });
        done[activity.kind] += 1;
      } catch (error) {
        if (!(error instanceof Error)) throw error;
        if (failures.length < MAX_FAILURES) failures.push(`${JSON.stringify(activity)}: ${error.message}`);
        options.onFailure?.(activity, error);
      }
      await pause(earliestNextMs - performance.now(), signal);
    }
  };
  await Promise.all(CLIENTS.map(runClient));
  return { done, failures };
}

/**
 * Does the named attacks one after the other, all of them by default, and returns the signatures that they must raise.
 * @throws TestkitError `testkit-host-failed` if one cannot be done.
 */
export async function runAttacks(
  hosts: DemoHosts,
  which: readonly AttackId[] = ATTACK_IDS,
): Promise<ReadonlySet<number>> {
  for (const attack of which) await hosts.ask("attacker", { kind: "attack", attack });
  return new Set(which.flatMap((attack) => [...ATTACKS[attack].signatures]));
}

/** Waits, at least for a turn of the event loop; an abort ends the wait and is no error. */
export async function pause(ms: number, signal?: AbortSignal): Promise<void> {
  try {
    await sleep(Math.max(0, ms), undefined, signal === undefined ? {} : { signal });
  } catch (error) {
    if (signal?.aborted !== true) throw error;
  }
}
