/**
 * A tap's mirror: the filter on the span that picks frames for one tap and hands them to the tap's action.
 *
 * Invariants: every tap's filter stands in one list at one priority, under the tap's own handle, and goes on to the
 * next (`continue`): setting, changing or removing one touches no other. The expression is compiled before anything
 * is changed; a filter is replaced in one move; a new tap whose filter the kernel refuses leaves nothing behind.
 */
import { randomBytes } from "node:crypto";
import type { Commands } from "../commands.ts";
import { WardenError } from "../error.ts";
import { engineNamespace } from "./engine-namespace.ts";
import { compileFilter } from "./filter.ts";
import {
  applyMirrorAction,
  isBound,
  parseCookie,
  removeMirrorAction,
  renderCookie,
} from "./mirror-action.ts";
import type { TapCookie } from "./mirror-action.ts";
import type { NetworkNamespace } from "./namespace.ts";
import { observeLink, observeLinks } from "./namespace.ts";
import {
  parseSpanTag,
  parseStrayTapName,
  spanDeviceName,
  strayTapName,
  tapIndex,
  wireDeviceName,
} from "./naming.ts";
import type { TapId } from "./naming.ts";
import { resetWireCounts } from "./wire-counts.ts";
import { seenIndex } from "./span-counters.ts";
import { tapPriority } from "./span-guard.ts";
import { observeFilters, observeMirred, shortDigest } from "./traffic-control.ts";
import type { Filter, MirredAction } from "./traffic-control.ts";

/** Which frames of which span a tap gets. */
export interface MirrorSpec extends TapId {
  /** The site's key of the span interface. */
  readonly interface: string;
  /** A tcpdump expression; empty for all frames. */
  readonly filter: string;
}

/** What is known of a tap's mirror: the action, and whether the filter that feeds it is as it was set. */
export interface MirrorState {
  readonly action: MirredAction;
  readonly cookie: TapCookie;
  /** False if the filter is missing or altered, or copies do not go to the tap's wire. */
  readonly intact: boolean;
}

/**
 * Sets or changes a tap's mirror. Idempotent; counts of an existing tap go on.
 *
 * @param uid unprivileged, runs the filter compiler.
 * @throws WardenError `datapath-filter-invalid`, `datapath-filter-too-long`, `datapath-wire-missing`,
 *   `datapath-span-absent`
 */
export async function setMirror(
  commands: Commands,
  slug: string,
  tap: MirrorSpec,
  uid: number,
): Promise<void> {
  const namespace = engineNamespace(commands, slug, tap.engine);
  const bytecode = await compileFilter(namespace, tap.filter, uid);
  const span = spanDeviceName(tap.interface);
  await requireDevices(namespace, span, wireDeviceName(slug, tap), tap);
  const actions = await observeMirred(namespace);
  const index = tapIndex(slug, tap);
  const seen = actions.get(seenIndex)?.packets ?? 0;
  const present = parseCookie(actions.get(index)?.cookie ?? "");
  // A span counter that began anew under a tap that did not: the tap begins anew too.
  const goesOn = present !== null && present.seenBefore <= seen ? present : null;
  if (actions.has(index) && goesOn === null) await removeMirrorIn(namespace, slug, index);
  const cookie = renderCookie({
    ...(goesOn ?? { seenBefore: seen, incarnation: randomBytes(2).toString("hex") }),
    expression: shortDigest(tap.filter),
    bytecode: shortDigest(bytecode),
  });
  await using undo = new AsyncDisposableStack();
  if (goesOn === null) {
    await resetWireCounts(namespace, slug, tap);
    await applyMirrorAction(namespace, slug, tap, cookie);
    undo.defer(() => removeMirrorAction(namespace, index));
  }
  await applyFilter(namespace, span, index, bytecode);
  // Of an existing tap last: until then the cookie says that the filter is not as meant, and it is set again.
  if (goesOn !== null) await applyMirrorAction(namespace, slug, tap, cookie);
  undo.move();
}

/**
 * Removes a tap's mirror with its counts, from whichever span it is on. Idempotent; the device may be gone.
 * The tap may be a stray one, as `strayTaps` names it.
 */
export async function removeMirror(commands: Commands, slug: string, tap: TapId): Promise<void> {
  const namespace = engineNamespace(commands, slug, tap.engine);
  const stray = parseStrayTapName(tap.instrument);
  if (stray !== null) await removeMirrorIn(namespace, slug, stray);
  await removeMirrorIn(namespace, slug, tapIndex(slug, tap));
}

/**
 * Taps that have a mirror and are none of these: those of an instrument that is gone together with its wire. They go
 * by a name made of their index, since their own stands nowhere any more.
 */
export function strayTaps(
  slug: string,
  engine: string,
  instruments: Iterable<string>,
  actions: ReadonlyMap<number, MirredAction>,
): readonly TapId[] {
  const known = new Set(Array.from(instruments, (instrument) => tapIndex(slug, { engine, instrument })));
  return [...actions.values()]
    .filter((action) => !known.has(action.index) && parseCookie(action.cookie) !== null)
    .map((action) => ({ engine, instrument: strayTapName(action.index) }));
}

/** A tap's mirror as the kernel has it; null if there is none. `filters` are those of the span's ingress. */
export function mirrorState(
  slug: string,
  tap: TapId,
  actions: ReadonlyMap<number, MirredAction>,
  filters: readonly Filter[],
): MirrorState | null {
  const action = actions.get(tapIndex(slug, tap));
  const cookie = parseCookie(action?.cookie ?? "");
  if (action === undefined || cookie === null) return null;
  const filter = filters.find((each) => each.priority === tapPriority && each.handle === action.index);
  const intact =
    filter?.bytecode !== null &&
    filter?.bytecode !== undefined &&
    shortDigest(filter.bytecode) === cookie.bytecode &&
    !filter.directAction &&
    filter.actions.length === 1 &&
    filter.actions[0]?.index === action.index &&
    isBound(action, slug, tap);
  return { action, cookie, intact };
}

async function removeMirrorIn(namespace: NetworkNamespace, slug: string, index: number): Promise<void> {
  for (const link of await observeLinks(namespace)) {
    if (parseSpanTag(link.ifalias)?.slug !== slug) continue;
    const filters = await observeFilters(namespace, link.ifname, "ingress");
    const isSet = filters.some((filter) => filter.priority === tapPriority && filter.handle === index);
    if (isSet) await namespace.run(["tc", "filter", "del", ...placeOf(link.ifname, index), "bpf"]);
  }
  await removeMirrorAction(namespace, index);
}

async function applyFilter(
  namespace: NetworkNamespace,
  span: string,
  index: number,
  bytecode: string,
): Promise<void> {
  const classifier = ["bpf", "bytecode", bytecode, "action", "mirred", "index", String(index)];
  await namespace.run(["tc", "filter", "replace", ...placeOf(span, index), ...classifier]);
}

function placeOf(span: string, index: number): readonly string[] {
  const place = ["dev", span, "ingress", "protocol", "all", "prio", String(tapPriority)];
  return [...place, "handle", `0x${index.toString(16)}`];
}

async function requireDevices(
  namespace: NetworkNamespace,
  span: string,
  wire: string,
  tap: MirrorSpec,
): Promise<void> {
  const fields = { engine: tap.engine, instrument: tap.instrument, interface: tap.interface };
  if (!(await observeLink(namespace, wire))) {
    throw new WardenError("datapath-wire-missing", `${tap.instrument} has no wire`, { fields });
  }
  if (!(await observeLink(namespace, span))) {
    throw new WardenError("datapath-span-absent", `${tap.engine} has not taken ${tap.interface}`, { fields });
  }
}
