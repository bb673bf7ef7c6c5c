/**
 * The demo, running: network, servers, clients and attacks, for as long as it is let run.
 *
 * Invariants: it is idempotent at start and may be killed at any time; the network outlives it, so that a restart does
 * not take the span away from the sensor. A switch that lost a port or its span is mended; a host's process or
 * namespace that is gone ends the run with an error, and a supervisor starts it anew.
 */
import { ATTACK_IDS, type AttackId } from "./attacks.ts";
import { type DemoHosts, startDemoHosts } from "./demo-hosts.ts";
import { openFeedFiles } from "./demo-feed-files.ts";
import { demoFeed, makeDemoFeed, observeDemoFeed } from "./demo-feed.ts";
import { makeDemoNetwork, observeDemoNetwork } from "./demo-network.ts";
import { TestkitError } from "./error.ts";
import { listNamespaces } from "./netns.ts";
import { pause, runAttacks, runTraffic } from "./traffic.ts";

/** How often the network is looked at, and mended if something took a part of it away. */
const MEND_EVERY_MS = 5_000;

export interface DemoRunOptions {
  readonly slug: string;
  readonly rate: number;
  readonly attackEveryMs: number;
  readonly signal: AbortSignal;
  /** The program that runs agents; see DemoHostsOptions. */
  readonly entry?: string;
  /** Where the rule feed's files lie (demo-feed-files.ts); without it there is no feed. */
  readonly feedDirectory?: string;
  /** Told what happens: `event` is ready, attack, attack-failed, activity-failed or mend. */
  readonly log: (line: { readonly event: string } & Readonly<Record<string, unknown>>) => void;
}

/** Runs the demo until the signal; @throws TestkitError if the network cannot be made or a host's process dies. */
export async function runDemo(options: DemoRunOptions): Promise<void> {
  const { slug, signal } = options;
  const { feedDirectory } = options;
  if (feedDirectory !== undefined) await makeDemoFeed(slug);
  await makeDemoNetwork(slug);
  await using hosts = await startDemoHosts({
    slug,
    ...(feedDirectory === undefined ? {} : { feed: await openFeedFiles(feedDirectory) }),
    ...(options.entry === undefined ? {} : { entry: options.entry }),
  });
  options.log({ event: "ready", slug });
  const ended = new AbortController();
  const both = AbortSignal.any([signal, ended.signal]);
  const work = Promise.all([
    runTraffic({
      hosts,
      rate: options.rate,
      signal: both,
      first: Math.floor(Date.now() / 1e3) % 5e5,
      onFailure: (activity, error) =>
        options.log({
          event: "activity-failed",
          activity,
          message: error.message,
        }),
    }),
    attackNowAndThen(hosts, options, both),
    mendNetwork(options, both),
  ]);
  try {
    await Promise.race([work, hosts.failed]);
  } finally {
    ended.abort();
    await Promise.allSettled([work]);
  }
}

/**
 * Does attacks at once in a network that stands and serves, from an attacker's process of its own, and returns the
 * signatures that they must raise. An abort ends it between two attacks.
 * @throws TestkitError `testkit-host-failed` if one cannot be done.
 */
export async function attackDemoNetwork(
  slug: string,
  signal?: AbortSignal,
  options: { readonly which?: readonly AttackId[]; readonly entry?: string } = {},
): Promise<ReadonlySet<number>> {
  const { entry, which = ATTACK_IDS } = options;
  await using hosts = await startDemoHosts({
    slug,
    roles: ["attacker"],
    ...(entry === undefined ? {} : { entry }),
  });
  const raised = new Set<number>();
  for (const attack of which) {
    if (signal?.aborted === true) break;
    for (const signature of await runAttacks(hosts, [attack])) raised.add(signature);
  }
  return raised;
}

async function attackNowAndThen(
  hosts: DemoHosts,
  options: DemoRunOptions,
  signal: AbortSignal,
): Promise<void> {
  for (let n = 0; options.attackEveryMs > 0 && !signal.aborted; n += 1) {
    const attack = ATTACK_IDS[n % ATTACK_IDS.length];
    if (attack === undefined) return;
    try {
      await runAttacks(hosts, [attack]);
      options.log({ event: "attack", attack });
    } catch (error) {
      if (!(error instanceof TestkitError)) throw error;
      if (!signal.aborted) options.log({ event: "attack-failed", attack, message: error.message });
    }
    await pause(options.attackEveryMs, signal);
  }
}

async function mendNetwork(options: DemoRunOptions, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    await pause(MEND_EVERY_MS, signal);
    const { slug } = options;
    if (options.feedDirectory !== undefined) await mendFeed(slug, options.log);
    const observed = await observeDemoNetwork(slug);
    if (signal.aborted || observed.state === "up") continue;
    // Ports and mirrors can be made again under running servers; a namespace takes its servers along.
    if (observed.state === "absent" || observed.missing.some(({ kind }) => kind === "namespace")) {
      throw new TestkitError("testkit-network-failed", `namespaces of ${options.slug} are gone`);
    }
    options.log({ event: "mend", missing: observed.missing });
    await makeDemoNetwork(options.slug);
  }
}

/** Its wire goes with a namespace of the sensor's that somebody removes; its server, with the feed's own. */
async function mendFeed(slug: string, log: DemoRunOptions["log"]): Promise<void> {
  if (await observeDemoFeed(slug)) return;
  const { namespace } = demoFeed(slug);
  if (!(await listNamespaces()).has(namespace))
    throw new TestkitError("testkit-network-failed", `the namespace ${namespace} is gone`);
  log({ event: "mend", missing: [{ kind: "device", name: "feed" }] });
  await makeDemoFeed(slug);
}
