/**
 * What the kernel counted: for each tap what the loss ledger needs, and for each span what the device says.
 *
 * Invariants: everything is measured outside the instrument. A tap's counts are cumulative over filters, wires and the
 * span's device while its epoch lasts, and exact when traffic rests; while it flows the figures of one reading may be
 * some frames apart, and are put in order so that none is negative. A GSO frame counts as its segments. No totals are
 * kept here: that is the ledger's.
 */
import { readFile, stat } from "node:fs/promises";
import type { TapCounters } from "@bulkhead/schema";
import type { Commands } from "../commands.ts";
import { findInstrumentNamespace } from "./instrument-namespace.ts";
import { parseCookie } from "./mirror-action.ts";
import { observeLinks } from "./namespace.ts";
import type { Link, NetworkNamespace } from "./namespace.ts";
import { parseSpanTag, parseWireTag, tapDevice, tapIndex } from "./naming.ts";
import type { TapId } from "./naming.ts";
import type { RestingCounters } from "./resting-counters.ts";
import { egressIndex, seenIndex } from "./span-counters.ts";
import type { SpanId } from "./span.ts";
import { observeMirred } from "./traffic-control.ts";
import type { MirredAction } from "./traffic-control.ts";
import { observeWireCounts } from "./wire-counts.ts";
import type { CarriedCounts, WireCounts } from "./wire-counts.ts";

/** What a span's device counted since it was made, and the guards' own count since the engine was. */
export interface SpanCounters extends SpanId {
  readonly received: number;
  /** Lost before any tap: by the kernel, by the NIC for want of buffers, or as faulty frames. */
  readonly dropped: number;
  readonly missed: number;
  readonly errors: number;
  /** Frames that passed all taps; the same unit as a tap's `seen`. */
  readonly seen: number;
  /** Frames that something tried to send out of the span and the guard dropped: should be 0. */
  readonly egressDropped: number;
}

/** One reading of an engine. `wires` is what its present wires and the former ones of their taps counted. */
export interface EngineCounters {
  readonly taps: readonly TapCounters[];
  readonly spans: readonly SpanCounters[];
  readonly wires: readonly WireCounts[];
}

export interface CountersInput {
  readonly commands: Commands;
  /** The engine's. */
  readonly namespace: NetworkNamespace;
  readonly slug: string;
  readonly engine: string;
  /** Taps to read; one that has no mirror is left out. */
  readonly instruments: readonly string[];
  /** Host pid of each running instrument's init; without one the far end of the wire is not read. */
  readonly pids: ReadonlyMap<string, number>;
  /** Counts of the former wires of a tap that has none at present. */
  readonly former: (tap: TapId) => CarriedCounts;
  /** Gives the former reading again where nothing moved. */
  readonly resting: RestingCounters;
}

/** Reads one engine. */
export async function observeCounters(input: CountersInput): Promise<EngineCounters> {
  const { commands, namespace, slug, engine, instruments, pids, former, resting } = input;
  const observeArrivals = async (): Promise<Arrivals> => {
    const found = new Map<string, number | null>();
    for (const instrument of instruments) {
      const pid = pids.get(instrument);
      found.set(instrument, pid === undefined ? null : await observeArrived(commands, namespace, pid));
    }
    return found;
  };
  // The engine's container has joined the namespace, so the kernel tells its devices' counts there without a program.
  const table = await observeDeviceTable(pids.get(engine), namespace);
  return resting.read(engine, table === null ? null : [table, ...(await observeArrivals())], () =>
    readEngine({ namespace, slug, engine, observeArrivals, former }),
  );
}

/** Frames that arrived at each instrument; null where that cannot be read. */
type Arrivals = ReadonlyMap<string, number | null>;

async function readEngine(parts: {
  readonly namespace: NetworkNamespace;
  readonly slug: string;
  readonly engine: string;
  readonly observeArrivals: () => Promise<Arrivals>;
  readonly former: (tap: TapId) => CarriedCounts;
}): Promise<EngineCounters> {
  const { namespace, slug, engine, former } = parts;
  const links = await observeLinks(namespace);
  // After the near ends, so that a frame on its way is never taken for one that was lost.
  const arrivals = await parts.observeArrivals();
  const wires = await observeWireCounts(namespace, slug, links);
  const readings = [];
  for (const [instrument, arrived] of arrivals) {
    const tap = { engine, instrument };
    const near = links.find((link) => parseWireTag(slug, link.ifalias)?.instrument === instrument);
    const sent = near?.stats64.tx.packets ?? 0;
    const wire = wires.find((each) => each.instrument === instrument) ?? former(tap);
    readings.push({ tap, wire, lostOnWire: Math.max(0, sent - (arrived ?? sent)) });
  }
  const actions = await observeMirred(namespace);
  const taps = readings.flatMap(({ tap, wire, lostOnWire }) => {
    const action = actions.get(tapIndex(slug, tap));
    if (action === undefined) return [];
    return tapCounters(tap, action, actions.get(seenIndex), wire, lostOnWire) ?? [];
  });
  return { taps, spans: spanCounters(slug, links, actions), wires };
}

/**
 * One tap's figures from what its action counted.
 *
 * The action's `overlimits` are all frames that were not handed to the wire's far end: those that the wire itself
 * dropped, and those that never got that far because it was down or gone. (Kernels before 6.6, without the fix
 * "veth: Fixing transmit return status for dropped packets", leave the former out.)
 */
export function tapCounters(
  tap: TapId,
  action: MirredAction,
  span: MirredAction | undefined,
  wire: CarriedCounts,
  lostOnWire: number,
): TapCounters | null {
  const cookie = parseCookie(action.cookie);
  if (cookie === null) return null;
  const matched = action.packets;
  const failed = Math.min(action.overlimits, matched);
  return {
    ...tap,
    epoch: `${cookie.incarnation}${cookie.seenBefore.toString(16)}`,
    seen: Math.max((span?.packets ?? 0) - cookie.seenBefore, matched),
    matched,
    notMirrored: Math.max(0, failed - wire.dropped),
    received: Math.max(0, matched - failed - lostOnWire),
    guardDropped: wire.guarded,
  };
}

function spanCounters(
  slug: string,
  links: readonly Link[],
  actions: ReadonlyMap<number, MirredAction>,
): readonly SpanCounters[] {
  return links.flatMap((link) => {
    const tag = parseSpanTag(link.ifalias);
    if (tag?.slug !== slug) return [];
    const { rx } = link.stats64;
    return [
      {
        engine: tag.engine,
        interface: tag.interface,
        device: tag.device,
        received: rx.packets,
        dropped: rx.dropped,
        missed: (rx.missed_errors ?? 0) + (rx.over_errors ?? 0),
        errors: rx.errors,
        seen: actions.get(seenIndex)?.packets ?? 0,
        egressDropped: actions.get(egressIndex)?.packets ?? 0,
      },
    ];
  });
}

/** Frames that arrived at the instrument's end; null if it has none. Read without a program: the kernel's own table. */
async function observeArrived(
  commands: Commands,
  engine: NetworkNamespace,
  pid: number,
): Promise<number | null> {
  await using instrument = await findInstrumentNamespace(commands, pid, engine);
  if (instrument === null) return null;
  const table = await readFile(`/proc/${pid}/net/dev`, "utf8").catch(() => null);
  // The number may belong to another process by now.
  if (table === null || !(await instrument.isOf(pid))) return null;
  return parseReceived(table, tapDevice);
}

/** What the devices of the namespace counted, as text; null where no process is known to be in it. */
async function observeDeviceTable(
  pid: number | undefined,
  { path }: NetworkNamespace,
): Promise<string | null> {
  if (pid === undefined || path === null) return null;
  const table = await readFile(`/proc/${pid}/net/dev`, "utf8").catch(() => null);
  const [own, named] = await Promise.all(
    [`/proc/${pid}/ns/net`, path].map((file) => stat(file).catch(() => null)),
  );
  return own && named && own.ino === named.ino ? table : null;
}

/** Frames received, of /proc/net/dev (proc_net(5)): `NAME: BYTES PACKETS …`; null where there is no such device. */
export function parseReceived(table: string, device: string): number | null {
  for (const line of table.split("\n")) {
    const [name, ...fields] = line.trim().split(/[:\s]+/);
    if (name === device) return Number(fields[1]);
  }
  return null;
}
