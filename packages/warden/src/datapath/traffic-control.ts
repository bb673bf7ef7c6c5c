/**
 * What tc says is installed in a namespace: clsact hooks, filters with their classic BPF, mirred actions with counts.
 *
 * Invariants: read-only; output is validated before use; bytecode has one text form, the one tc takes
 * (`count,code jt jf k,…`), so that what is in the kernel can be compared with what was asked for.
 */
import { createHash } from "node:crypto";
import * as z from "zod";
import type { NetworkNamespace } from "./namespace.ts";

/** Bytecode that returns "the whole frame" for every frame: as a classifier it matches all. */
export const matchAllBytecode = "1,6 0 0 262144";

/** Bytecode that returns 2, TC_ACT_SHOT: with `da` it drops every frame without needing act_gact. */
export const dropBytecode = "1,6 0 0 2";

/** A named mirred action; it outlives filters and devices, and so do its counts. */
export interface MirredAction {
  readonly index: number;
  /** `*` when the device that it copied to is gone. */
  readonly device: string;
  /** `continue`, `drop`, … */
  readonly control: string;
  /** Frames that reached the action; a GSO frame counts as its segments. */
  readonly packets: number;
  /** Those of them that could not be handed to the device. */
  readonly overlimits: number;
  /** Filters that use it; one that was removed counts until the kernel has let go of it. */
  readonly users: number;
  /** Up to 16 bytes in hex, the maker's own; empty if there is none. */
  readonly cookie: string;
}

/** One filter of a clsact hook. Filters of kinds other than bpf have no bytecode. */
export interface Filter {
  readonly priority: number;
  /** `all`, `ip`, `802.1Q`, … */
  readonly protocol: string;
  readonly kind: string;
  readonly handle: number;
  readonly directAction: boolean;
  readonly bytecode: string | null;
  readonly actions: readonly MirredAction[];
}

/** Counts of a device's clsact hook, both directions together. */
export interface ClsactCounts {
  readonly device: string;
  readonly packets: number;
  readonly drops: number;
}

export type Direction = "ingress" | "egress";

/** The clsact hooks of every device in the namespace. */
export async function observeClsact(namespace: NetworkNamespace): Promise<readonly ClsactCounts[]> {
  const { stdout } = await namespace.run(["tc", "-s", "-j", "qdisc", "show"]);
  return z
    .array(Qdisc)
    .parse(JSON.parse(stdout || "[]"))
    .flatMap(({ kind, dev, packets, drops }) => (kind === "clsact" ? [{ device: dev, packets, drops }] : []));
}

/** The filters of one hook, in the order in which frames meet them; none where the device has no clsact. */
export async function observeFilters(
  namespace: NetworkNamespace,
  device: string,
  direction: Direction,
): Promise<readonly Filter[]> {
  const { stdout } = await namespace.run(["tc", "-s", "-j", "filter", "show", "dev", device, direction]);
  const entries = z.array(FilterEntry).parse(JSON.parse(stdout || "[]"));
  return entries.flatMap(({ options, ...entry }) =>
    options === undefined ? [] : [filterOf(entry, options)],
  );
}

/** Every named mirred action of the namespace by its index. */
export async function observeMirred(namespace: NetworkNamespace): Promise<ReadonlyMap<number, MirredAction>> {
  const { stdout } = await namespace.run(["tc", "-s", "-j", "actions", "list", "action", "mirred"]);
  const found = z
    .array(ActionList)
    .parse(JSON.parse(stdout || "[]"))
    .flatMap((list) => list.actions ?? [])
    .map(actionOf);
  return new Map(found.map((action) => [action.index, action]));
}

/** A short digest of a bytecode or an expression: 4 bytes in hex, to tell apart, not to withstand an attacker. */
export function shortDigest(text: string): string {
  return createHash("sha256").update(text).digest("hex").slice(0, 8);
}

const Qdisc = z.object({
  kind: z.string(),
  dev: z.string(),
  packets: z.number().default(0),
  drops: z.number().default(0),
});

const Action = z.object({
  kind: z.string(),
  to_dev: z.string().default("*"),
  control_action: z.object({ type: z.string() }),
  index: z.number(),
  bind: z.number(),
  stats: z.object({ packets: z.number(), overlimits: z.number() }),
  cookie: z.string().default(""),
});
/** `tc actions list` begins with an entry that holds the number of actions alone. */
const ActionList = z.object({ actions: z.array(Action).optional() });

const FilterOptions = z.object({
  handle: z.string().optional(),
  "direct-action": z.boolean().optional(),
  bytecode: z
    .object({
      insns: z.array(z.object({ code: z.number(), jt: z.number(), jf: z.number(), k: z.number() })),
    })
    .optional(),
  actions: z.array(z.unknown()).default([]),
});
const FilterEntry = z.object({
  pref: z.number(),
  protocol: z.string(),
  kind: z.string(),
  options: FilterOptions.optional(),
});

function filterOf(
  entry: Omit<z.infer<typeof FilterEntry>, "options">,
  options: z.infer<typeof FilterOptions>,
): Filter {
  const insns = options.bytecode?.insns;
  return {
    priority: entry.pref,
    protocol: entry.protocol,
    kind: entry.kind,
    handle: Number(options.handle ?? 0),
    directAction: options["direct-action"] ?? false,
    bytecode: insns
      ? [insns.length, ...insns.map(({ code, jt, jf, k }) => `${code} ${jt} ${jf} ${k}`)].join(",")
      : null,
    // Another kind of action has other fields: it is none of ours and shows as a missing one.
    actions: options.actions.flatMap((entry) => {
      const action = Action.safeParse(entry);
      return action.success && action.data.kind === "mirred" ? [actionOf(action.data)] : [];
    }),
  };
}

function actionOf(action: z.infer<typeof Action>): MirredAction {
  return {
    index: action.index,
    device: action.to_dev,
    control: action.control_action.type,
    packets: action.stats.packets,
    overlimits: action.stats.overlimits,
    users: action.bind,
    cookie: action.cookie,
  };
}
