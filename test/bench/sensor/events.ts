/**
 * Events scenario: how long it takes from a frame's send to the event in a subscriber's hands.
 *
 * Invariants: Bulkhead and the bare Suricata are asked in turn, round by round, with the same probes at the same
 * random distances; both times are of one clock; a probe without an event is counted and never left out in silence.
 */
import { randomBytes, randomInt } from "node:crypto";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { API_ROUTES, EventRecord } from "@bulkhead/schema";
import { quantile, summarise } from "../measure.ts";
import { type Goal, type Result, resultOf } from "../result.ts";
import { startBareSuricata } from "./bare-suricata.ts";
import { SURICATA_SETTINGS } from "./bench-site.ts";
import type { Run } from "./effort.ts";
import type { Installation } from "./installation.ts";
import { PROBE_KINDS, PROBE_RULES, probeFrames, type ProbeKind, probeNames } from "./probe-frames.ts";
import { buildProbeSender, type ProbePort, sendProbes } from "./probe-sender.ts";

/** Far enough apart that each is alone, and never in step with a timer of 10 ms. */
const GAP_US = { least: 15_000, most: 45_000 } as const;
const LAST_EVENT_MS = 10_000;
const PORTS = { first: 10_000, last: 60_000 } as const;

/** One way from a wire to a subscriber. */
interface Way {
  readonly name: "bulkhead" | "bare-suricata";
  readonly port: ProbePort;
  readonly arrivals: Map<string, number>;
}

export async function measureEvents(
  run: Run,
  installation: Installation,
  port: ProbePort,
): Promise<readonly Result[]> {
  const program = await buildProbeSender();
  await using stack = new AsyncDisposableStack();
  const rootfsTar = join(installation.layout.catalogueDir, "suricata/rootfs.tar");
  const settings = { ...SURICATA_SETTINGS, ruleFiles: [] };
  const bare = stack.use(await startBareSuricata({ rootfsTar, settings, rules: PROBE_RULES }));
  const ours: Way = { name: "bulkhead", port, arrivals: new Map() };
  const theirs: Way = { name: "bare-suricata", port: bare.port, arrivals: new Map() };
  stack.use(await bare.follow((record) => note(theirs, record)));
  stack.use(followBulkhead(installation, ours));
  await sleep(500); // until the subscription stands

  const rounds: Round[] = [];
  const ports = freshPorts();
  for (let round = 0; round < run.effort.probeRounds; round += 1) {
    for (const kind of PROBE_KINDS) {
      for (const way of round % 2 === 0 ? [ours, theirs] : [theirs, ours]) {
        run.signal.throwIfAborted();
        rounds.push({ kind, way: way.name, ...(await probe(program, way, kind, ports, run.effort.probes)) });
      }
    }
    run.say(`round ${round + 1} of ${run.effort.probeRounds}`);
  }
  return PROBE_KINDS.flatMap((kind) => resultsOf(kind, rounds));
}

interface Latencies {
  readonly latenciesMs: readonly number[];
  readonly missing: number;
}
interface Round extends Latencies {
  readonly kind: ProbeKind;
  readonly way: Way["name"];
}

/** Each flow is a new one: two requests in one connection would be another thing. */
function* freshPorts(): Generator<number, never> {
  for (;;) for (let port = PORTS.first; port < PORTS.last; port += 1) yield port;
}

async function probe(
  program: string,
  way: Way,
  kind: ProbeKind,
  ports: Generator<number, never>,
  count: number,
): Promise<Latencies> {
  const run = randomBytes(4).toString("hex");
  const probes = Array.from({ length: count }, (_, index) => {
    const name = `bhp-${run}-${index}`;
    const frames = probeFrames(kind, name, ports.next().value);
    return { name, gapUs: randomInt(GAP_US.least, GAP_US.most), ...frames };
  });
  const sent = await sendProbes(program, way.port, probes);
  const deadlineMs = performance.now() + LAST_EVENT_MS;
  while (probes.some(({ name }) => !way.arrivals.has(name)) && performance.now() < deadlineMs)
    await sleep(20);
  const latenciesMs = probes.flatMap(({ name }, index) => {
    const arrived = way.arrivals.get(name);
    return arrived === undefined ? [] : [(arrived - (sent[index] ?? Number.NaN)) / 1e6];
  });
  return { latenciesMs, missing: count - latenciesMs.length };
}

/** The first record that names a probe counts. */
function note({ arrivals }: Way, record: string): void {
  if (!record.includes('"event_type":"alert"')) return;
  const nowNs = Number(process.hrtime.bigint());
  for (const name of probeNames(record)) if (!arrivals.has(name)) arrivals.set(name, nowNs);
}

function followBulkhead({ api }: Installation, way: Way): AsyncDisposable {
  const done = new AbortController();
  const query = { type: "suricata.alert", follow: "true", limit: "1" };
  const following = (async () => {
    for await (const event of api.lines(API_ROUTES.events.path, EventRecord, query, done.signal)) {
      note(way, JSON.stringify(event.data));
    }
  })();
  return {
    [Symbol.asyncDispose]: async () => {
      done.abort();
      await following;
    },
  };
}

function resultsOf(kind: ProbeKind, rounds: readonly Round[]): readonly Result[] {
  const of = (way: Way["name"]): readonly Round[] =>
    rounds.filter((round) => round.kind === kind && round.way === way && round.latenciesMs.length > 0);
  const all = (way: Way["name"]): readonly number[] => of(way).flatMap((round) => round.latenciesMs);
  const missing = (way: Way["name"]): number =>
    rounds.filter((r) => r.kind === kind && r.way === way).reduce((sum, { missing }) => sum + missing, 0);
  const ours = all("bulkhead");
  const theirs = all("bare-suricata");
  /** Of rounds: quartiles of probes would show the length of Suricata's blocks. */
  const spreadOf = (share: number): readonly [number, number] =>
    summarise(of("bulkhead").map(({ latenciesMs }) => quantile(latenciesMs, share))).spread;
  return [
    resultOf({
      id: `event.${kind}.p50`,
      unit: "ms",
      samples: ours,
      spread: spreadOf(0.5),
      beside: { "bare-suricata": theirs },
      goals: [P50_GOAL],
    }),
    resultOf({
      id: `event.${kind}.p99`,
      unit: "ms",
      samples: ours,
      value: quantile(ours, 0.99),
      spread: spreadOf(0.99),
      beside: { "bare-suricata": [quantile(theirs, 0.99)] },
    }),
    resultOf({
      id: `event.${kind}.missing`,
      unit: "events",
      samples: [missing("bulkhead")],
      beside: { "bare-suricata": [missing("bare-suricata")] },
    }),
  ];
}

const P50_GOAL: Goal = {
  on: "bare-suricata",
  op: "<=",
  value: 1.25,
  note: "from the frame's send to the subscriber, against the same Suricata's own EVE file",
  heldBack:
    "the way from Suricata's pipe over the agent, the bus gate and the broker to sensord's API: each is one more " +
    "process to be woken, and the last leg, from the broker's store to the subscriber, is the longest of them",
};
