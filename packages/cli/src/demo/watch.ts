/**
 * Watches a running sensor until alerts and DNS records of this run have come, and measures how
 * long each event took from the packet to here.
 */
import { API_ROUTES, EventRecord, SensorStatus } from "@bulkhead/schema";
import * as z from "zod";
import type { Context } from "../command.ts";
import { uiPath } from "../commands/query.ts";
import { CliError } from "../error.ts";
import { renderEvent } from "../render/event.ts";

/** What passive DNS says of itself; `observations` counts answers taken in since its store was made. */
const DnsStats = z.looseObject({ observations: z.int() });
/** The time at which Suricata saw the packet, in the record as it wrote it. */
const EveTime = z.looseObject({ timestamp: z.string() });

export interface DemoWatch {
  readonly alerts: number;
  readonly dnsRecords: number;
  /** Milliseconds from the packet's capture to the event in this process. */
  readonly packetToEventMs: readonly number[];
  readonly status: SensorStatus;
  /** What the taps counted in this run; the status has the sums since they were first made. */
  readonly taps: SensorStatus["taps"];
}

export interface WatchOptions {
  readonly since: Date;
  readonly deadlineMs: number;
  /** Goes on for so long after both have come, so that the figures say something. */
  readonly lingerMs: number;
}

/** @throws CliError `demo-nothing-seen`, saying what was missing */
export async function watchDemo(context: Context, options: WatchOptions): Promise<DemoWatch> {
  const done = new AbortController();
  const signal = AbortSignal.any([context.signal, done.signal]);
  const seen = { alerts: 0, dns: 0, delaysMs: [] as number[] };
  const follow = ["suricata.alert", "suricata.dns"].map((type) =>
    followType(context, type, options.since, seen, signal),
  );
  try {
    return await waitForBoth(context, options, seen);
  } finally {
    done.abort();
    await Promise.allSettled(follow);
  }
}

interface Seen {
  alerts: number;
  dns: number;
  delaysMs: number[];
}

async function waitForBoth(context: Context, options: WatchOptions, seen: Seen): Promise<DemoWatch> {
  const startedMs = performance.now();
  const before = await dnsObservations(context);
  const { taps: tapsBefore } = await context.api.get(API_ROUTES.status.path, SensorStatus);
  let bothMs: number | null = null;
  for (;;) {
    const status = await context.api.get(API_ROUTES.status.path, SensorStatus);
    const dnsRecords = Math.max(0, (await dnsObservations(context)) - before);
    const nowMs = performance.now();
    if (seen.alerts > 0 && dnsRecords > 0) bothMs ??= nowMs;
    const taps = status.taps.map((tap) => tapSince(tap, tapsBefore));
    const settled =
      status.instruments.every((i) => i.state === "running" || i.state === "stopped") &&
      taps.every((tap) => tap.seen > 0);
    if (bothMs !== null && nowMs - bothMs >= options.lingerMs && settled) {
      return { alerts: seen.alerts, dnsRecords, packetToEventMs: seen.delaysMs, status, taps };
    }
    if (nowMs - startedMs > options.deadlineMs || context.signal.aborted)
      throw nothingSeen(seen, dnsRecords, { ...status, taps });
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
}

type Tap = SensorStatus["taps"][number];
const COUNTS = [
  "seen",
  "filtered",
  "mirrored",
  "notMirrored",
  "wireDropped",
  "received",
  "processed",
  "toolDropped",
  "guardDropped",
] as const satisfies readonly (keyof Tap)[];

/** The sums come out of differences as they do of totals. */
function tapSince(tap: Tap, before: readonly Tap[]): Tap {
  const former = before.find((t) => t.instrument === tap.instrument);
  // A tap that the site took away and gives again has begun at zero.
  if (former === undefined || former.seen > tap.seen) return tap;
  return { ...tap, ...Object.fromEntries(COUNTS.map((count) => [count, tap[count] - former[count]])) };
}

async function followType(
  { api, output }: Context,
  type: string,
  since: Date,
  seen: Seen,
  signal: AbortSignal,
): Promise<void> {
  const query = { type, since: since.toISOString(), follow: "true", limit: "10000" };
  for await (const event of api.lines(API_ROUTES.events.path, EventRecord, query, signal)) {
    const time = EveTime.safeParse(event.data);
    if (time.success) seen.delaysMs.push(Date.now() - Date.parse(time.data.timestamp));
    if (type === "suricata.alert") seen.alerts += 1;
    else seen.dns += 1;
    // Every alert, and as many of the DNS records as an eye can follow.
    if (!output.json && (type === "suricata.alert" || seen.dns % 10 === 1))
      output.note(`  ${renderEvent(event)}`);
  }
}

/** 0 while passive DNS does not answer yet. */
async function dnsObservations({ api }: Context): Promise<number> {
  try {
    return (await api.get(uiPath("pdns", "v1/stats"), DnsStats)).observations;
  } catch (error) {
    if (error instanceof CliError && error.code !== "not-running" && error.code !== "not-permitted") return 0;
    throw error;
  }
}

function nothingSeen(seen: Seen, dnsRecords: number, status: SensorStatus): CliError {
  const missing = [
    ...(seen.alerts === 0 ? ["no alert came"] : []),
    ...(dnsRecords === 0 ? [`no passive-DNS record came (${seen.dns} DNS events)`] : []),
    ...status.instruments
      .filter((i) => i.state !== "running")
      .map((i) => `${i.name} is ${i.state}${i.detail === "" ? "" : ` (${i.detail})`}`),
    ...status.taps
      .filter((tap) => tap.seen === 0)
      .map((tap) => `nothing was counted on the tap of ${tap.instrument}`),
    ...status.problems.map((p) => `${p.target}: ${p.message}`),
  ];
  return new CliError("demo-nothing-seen", `the demo did not come up whole: ${missing.join("; ")}`, {
    advice: "see: sudo ./bulkhead status, sudo ./bulkhead logs ids",
  });
}
