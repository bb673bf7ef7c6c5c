/**
 * The guards of a span device: nothing leaves it, and nothing that arrives goes further than the taps' filters.
 *
 * Invariants: egress drops everything; ingress drops everything behind the taps. Each is two filters: one that counts
 * and drops, and behind it one that drops by itself (`da`), should the counting one fail. A hook that holds anything
 * else is not guarded. Guards are put on before the device is brought up. Filters of taps are kept.
 */
import type { NetworkNamespace } from "./namespace.ts";
import { egressIndex, seenIndex } from "./span-counters.ts";
import type { Direction, Filter } from "./traffic-control.ts";
import { dropBytecode, matchAllBytecode, observeClsact, observeFilters } from "./traffic-control.ts";

/** Priority of all taps' filters: one list in the kernel, the tap's index is the handle. */
export const tapPriority = 100;

/** True if both hooks hold our guards, and beside them nothing but taps' filters. */
export async function observeSpanGuards(namespace: NetworkNamespace, device: string): Promise<boolean> {
  const hooks = await observeClsact(namespace);
  if (!hooks.some((hook) => hook.device === device)) return false;
  for (const guard of guards) {
    const filters = await observeFilters(namespace, device, guard.direction);
    if (foreign(guard, filters).length > 0 || missing(guard, filters)) return false;
  }
  return true;
}

/** Puts the guards on, in place: what is right already is not touched, and taps lose nothing. Idempotent. */
export async function ensureSpanGuards(namespace: NetworkNamespace, device: string): Promise<void> {
  const hooks = await observeClsact(namespace);
  if (!hooks.some((hook) => hook.device === device)) {
    await namespace.run(["tc", "qdisc", "add", "dev", device, "clsact"]);
  }
  for (const guard of guards) {
    const filters = await observeFilters(namespace, device, guard.direction);
    for (const filter of foreign(guard, filters)) {
      await removeFilter(namespace, device, guard.direction, filter);
    }
    if (!missing(guard, await observeFilters(namespace, device, guard.direction))) continue;
    const hook = ["dev", device, guard.direction, "protocol", "all"];
    const counting = [
      "bpf",
      "bytecode",
      matchAllBytecode,
      "action",
      "mirred",
      "index",
      String(guard.counter),
    ];
    const dropping = ["bpf", "da", "bytecode", dropBytecode];
    // The one that needs nothing else first.
    for (const [priority, classifier] of [
      [guard.priority + 1, dropping],
      [guard.priority, counting],
    ] as const) {
      const place = ["prio", String(priority), "handle", "1"];
      await namespace.run(["tc", "filter", "replace", ...hook, ...place, ...classifier]);
    }
  }
}

/** One filter alone where its kind lets us name it, so that taps at the same priority stay; else its priority. */
async function removeFilter(
  namespace: NetworkNamespace,
  device: string,
  direction: Direction,
  filter: Filter,
): Promise<void> {
  const which = ["dev", device, direction, "prio", String(filter.priority)];
  const one = ["protocol", filter.protocol, "handle", `0x${filter.handle.toString(16)}`, "bpf"];
  await namespace.run(["tc", "filter", "del", ...which, ...(filter.kind === "bpf" ? one : [])]);
}

interface Guard {
  readonly direction: Direction;
  readonly priority: number;
  readonly counter: number;
}

const guards: readonly Guard[] = [
  { direction: "egress", priority: 1, counter: egressIndex },
  { direction: "ingress", priority: 65_000, counter: seenIndex },
];

function isCounting(guard: Guard, filter: Filter): boolean {
  const [action] = filter.actions;
  return (
    filter.priority === guard.priority &&
    filter.bytecode === matchAllBytecode &&
    filter.actions.length === 1 &&
    action?.index === guard.counter &&
    action.control === "drop"
  );
}

function isDropping(guard: Guard, filter: Filter): boolean {
  return filter.priority === guard.priority + 1 && filter.directAction && filter.bytecode === dropBytecode;
}

function missing(guard: Guard, filters: readonly Filter[]): boolean {
  return ![isCounting, isDropping].every((is) => filters.some((filter) => is(guard, filter)));
}

/** What is neither a guard nor, on ingress, a filter where taps' filters stand. */
function foreign(guard: Guard, filters: readonly Filter[]): readonly Filter[] {
  return filters.filter((filter) => {
    if (isCounting(guard, filter) || isDropping(guard, filter)) return false;
    const isTap =
      guard.direction === "ingress" &&
      filter.priority === tapPriority &&
      filter.kind === "bpf" &&
      filter.protocol === "all" &&
      !filter.directAction &&
      filter.actions.every((action) => action.control === "continue");
    return !isTap;
  });
}
