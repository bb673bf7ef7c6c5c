/**
 * The capture datapath of one installation: all of it that the kernel holds, and the steps that change it.
 *
 * Invariants: kernel objects are the only state (beside the last counts of wires, which soften a loss and nothing
 * else); every step is idempotent, completes what is missing, and unwinds what it began if it fails. Calls that
 * change one engine are not to run at the same time. What should exist is decided elsewhere.
 */
import type { TapCounters } from "@bulkhead/schema";
import type { Commands } from "../commands.ts";
import { observeCounters } from "./counters.ts";
import type { SpanCounters } from "./counters.ts";
import {
  engineNamespace,
  engineNamespacePath,
  enginesOf,
  ensureEngineNamespace,
  hasNamespace,
  isEngine,
  removeEngineNamespace,
} from "./engine-namespace.ts";
import { checkFilter } from "./filter.ts";
import type { FilterCheck } from "./filter.ts";
import type { MirrorSpec } from "./mirror.ts";
import { mirrorState, removeMirror, setMirror, strayTaps } from "./mirror.ts";
import { hostNamespace, observeLinks } from "./namespace.ts";
import type { NamespaceCensus, NamespaceView } from "./namespace-census.ts";
import type { TapId } from "./naming.ts";
import { checkedName, parseWireTag, spanDeviceName } from "./naming.ts";
import { RestingCounters } from "./resting-counters.ts";
import { StandingReaders } from "./standing-reader.ts";
import { observeSpans, releaseAllSpans, releaseSpan, takeSpan } from "./span.ts";
import type { SpanId, SpanState } from "./span.ts";
import { observeFilters, observeMirred, shortDigest } from "./traffic-control.ts";
import { connectWire, disconnectWire, observeWires } from "./wire.ts";
import { observeWireCounts } from "./wire-counts.ts";
import type { CarriedCounts, WireCounts } from "./wire-counts.ts";

/** What the caller knows and the kernel does not. */
export interface Known {
  /** Host pid of each running instrument's init. */
  readonly pids: ReadonlyMap<string, number>;
  /** The taps of the site: expressions that may be in force. The kernel holds digests of them only. */
  readonly taps: readonly (TapId & { readonly filter: string })[];
}

/** A tap as the kernel has it. */
export interface TapState extends TapId {
  readonly wire: "connected" | "broken" | "none";
  /** The expression in force, if its bytecode is intact, copies go to the present wire, and the caller knows it. */
  readonly filter: string | null;
}

/** All that the kernel holds of an installation's datapath. What does not exist has no entry. */
export interface DatapathState {
  /** Devices in the host's own namespace. */
  readonly devices: readonly string[];
  readonly engines: readonly string[];
  readonly spans: readonly SpanState[];
  readonly taps: readonly TapState[];
}

/** What was counted. */
export interface DatapathCounters {
  readonly taps: readonly TapCounters[];
  readonly spans: readonly SpanCounters[];
}

/** Steps throw WardenError; each function that does the work names its codes. */
export interface Datapath {
  /** For `lxc.namespace.share.net` of the engine's container. */
  enginePath(engine: string): string;
  /** @param views what a census has just found */
  observe(known: Known, views: readonly NamespaceView[]): Promise<DatapathState>;
  counters(known: Known): Promise<DatapathCounters>;
  checkFilter(expression: string): Promise<FilterCheck>;
  createEngine(engine: string): Promise<void>;
  /** Gives the engine's spans back first; its wires and mirrors go with it. */
  removeEngine(engine: string): Promise<void>;
  takeSpan(span: SpanId): Promise<void>;
  releaseSpan(span: SpanId): Promise<void>;
  /** Takes the counts of all wires down, which are lost with the wires: to be called before an instrument is stopped. */
  keepWireCounts(): Promise<void>;
  connectWire(tap: TapId & { readonly pid: number }): Promise<void>;
  disconnectWire(tap: TapId): Promise<void>;
  setMirror(mirror: MirrorSpec): Promise<void>;
  removeMirror(tap: TapId): Promise<void>;
}

/** How to make the datapath of an installation. */
export interface DatapathOptions {
  readonly commands: Commands;
  readonly slug: string;
  readonly census: NamespaceCensus;
  /** Runs the filter compiler: an unprivileged uid that owns nothing. `nobody` by default. */
  readonly compilerUid?: number;
}

/** The datapath in the running kernel. */
export function kernelDatapath({ commands, slug, census, compilerUid = 65_534 }: DatapathOptions): Datapath {
  checkedName(slug);
  const lastCounts = new Map<string, CarriedCounts>();
  const resting = new RestingCounters();
  const readers = new StandingReaders();
  /** A step: what was counted before it is read again, whether it works or not. */
  const changing = async (step: () => Promise<void>): Promise<void> => {
    resting.forget();
    try {
      await step();
    } finally {
      resting.forget();
    }
  };
  const countsOf = (tap: TapId) => lastCounts.get(keyOf(tap)) ?? { dropped: 0, guarded: 0 };
  const remember = ({ dropped, guarded, ...tap }: WireCounts) => {
    lastCounts.set(keyOf(tap), { dropped, guarded });
  };
  const rememberWires = async (engine: string) => {
    const namespace = engineNamespace(commands, slug, engine);
    const wires = await observeWireCounts(namespace, slug, await observeLinks(namespace));
    wires.forEach(remember);
  };

  return {
    enginePath: (engine) => engineNamespacePath(slug, engine),
    observe: (known, views) => observe(commands, slug, readers, enginesOf(views, slug), known),
    async counters(known) {
      const found = [];
      // Only those that have a tap to read: looking for others costs a program for each namespace of the host.
      for (const engine of new Set(known.taps.map((tap) => tap.engine))) {
        if (!(await hasNamespace(slug, engine))) continue;
        const instruments = known.taps.flatMap((tap) => (tap.engine === engine ? [tap.instrument] : []));
        const namespace = readers.in(engineNamespace(commands, slug, engine));
        found.push(
          await observeCounters({
            ...{ commands, namespace, slug, engine, instruments, resting },
            pids: known.pids,
            former: countsOf,
          }),
        );
      }
      found.flatMap(({ wires }) => wires).forEach(remember);
      return {
        taps: found.flatMap(({ taps }) => taps),
        spans: found.flatMap(({ spans }) => spans),
      };
    },
    checkFilter: (expression) => checkFilter(commands, expression, compilerUid),
    createEngine: (engine) => changing(() => ensureEngineNamespace(commands, slug, engine)),
    removeEngine: (engine) =>
      changing(async () => {
        readers.leave(engineNamespacePath(slug, engine));
        await removeEngine(commands, slug, engine);
      }),
    takeSpan: (span) => changing(() => takeSpan(commands, slug, span)),
    releaseSpan: (span) => changing(() => releaseSpan(commands, slug, span)),
    async keepWireCounts() {
      for (const { engine } of enginesOf(await census.take(), slug)) await rememberWires(engine);
    },
    connectWire: (tap) =>
      changing(async () => {
        await rememberWires(tap.engine);
        await connectWire(commands, slug, tap, countsOf(tap));
      }),
    disconnectWire: (tap) =>
      changing(async () => {
        await rememberWires(tap.engine);
        await disconnectWire(commands, slug, tap);
      }),
    setMirror: (mirror) => changing(() => setMirror(commands, slug, mirror, compilerUid)),
    removeMirror: (tap) =>
      changing(async () => {
        await removeMirror(commands, slug, tap);
        lastCounts.delete(keyOf(tap));
      }),
  };
}

async function removeEngine(commands: Commands, slug: string, engine: string): Promise<void> {
  if (!(await isEngine(commands, slug, engine))) return;
  await releaseAllSpans(commands, slug, engine);
  for (const link of await observeLinks(engineNamespace(commands, slug, engine))) {
    const tag = parseWireTag(slug, link.ifalias);
    // The container may live on in the namespace: a wire does not go by itself then.
    if (tag !== null) await disconnectWire(commands, slug, tag);
  }
  await removeEngineNamespace(commands, slug, engine);
}

async function observe(
  commands: Commands,
  slug: string,
  readers: StandingReaders,
  engines: ReturnType<typeof enginesOf>,
  known: Known,
): Promise<DatapathState> {
  const devices = (await observeLinks(hostNamespace(commands))).map(({ ifname }) => ifname);
  const spans: SpanState[] = [];
  const taps: TapState[] = [];
  for (const { engine, view } of engines) {
    const namespace = readers.in(view.namespace);
    const found = await observeSpans(namespace, slug, view.devices);
    const wires = await observeWires(commands, slug, namespace, view.devices, known.pids);
    const actions = await observeMirred(namespace);
    const filters = [];
    for (const span of found) {
      filters.push(...(await observeFilters(namespace, spanDeviceName(span.interface), "ingress")));
    }
    const wanted = known.taps.filter((tap) => tap.engine === engine).map((tap) => tap.instrument);
    const names = new Set([...wires.map((wire) => wire.instrument), ...wanted]);
    for (const instrument of names) {
      const tap = { engine, instrument };
      const wire = wires.find((each) => each.instrument === instrument)?.wire ?? "none";
      const mirror = mirrorState(slug, tap, actions, filters);
      if (wire === "none" && mirror === null) continue;
      const expression = known.taps.find(
        (each) =>
          each.engine === engine &&
          each.instrument === instrument &&
          shortDigest(each.filter) === mirror?.cookie.expression,
      );
      taps.push({ ...tap, wire, filter: mirror?.intact ? (expression?.filter ?? null) : null });
    }
    for (const stray of strayTaps(slug, engine, names, actions)) {
      taps.push({ ...stray, wire: "none", filter: null });
    }
    spans.push(...found);
  }
  return { devices, engines: engines.map(({ engine }) => engine), spans, taps };
}

function keyOf(tap: TapId): string {
  return `${tap.engine}/${tap.instrument}`;
}
