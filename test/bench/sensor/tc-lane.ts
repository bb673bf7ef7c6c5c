/**
 * Bare tc: what the kernel's own mirroring gives without Bulkhead: no guard, no count, no tag on anything.
 *
 * Two ways to write it: `tc`, a classic-BPF filter that matches all for each tap, so that each tap could have a
 * filter of its own; and `tc-u32`, one filter for all with a chain of mirror actions, the cheapest, which cannot.
 */
import { makeNamespace, type NetworkNamespace } from "@bulkhead/testkit";
import { addVeth, type Lane, makeNetwork, ownedPlace, PORT, receivedAt } from "./lane.ts";
import type { Place } from "./place.ts";

const SPAN = "span0";
/** As wide as Bulkhead's wires. */
const WIRE_MTU = 16_384;
const MATCH_ALL = "1,6 0 0 262144";

export async function openTcLane(way: "tc" | "tc-u32"): Promise<Lane> {
  await using undo = new AsyncDisposableStack();
  const engine = undo.use(await makeNamespace());
  const network = undo.use(await makeNetwork(engine, SPAN));
  await engine.tc("qdisc", "add", "dev", SPAN, "clsact");
  const places: Place[] = [];
  const owned = undo.move();
  return {
    name: way,
    path: { namespace: network.name, device: PORT, received: () => receivedAt(places) },
    queues: false,
    places,
    async addTap() {
      const place = await ownedPlace(owned);
      await addVeth(engine, `tap${places.length}`, place, "mon0", WIRE_MTU);
      places.push(place);
      await (way === "tc" ? addFilter(engine, places.length - 1) : replaceChain(engine, places.length));
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

async function addFilter(engine: NetworkNamespace, tap: number): Promise<void> {
  const place = ["dev", SPAN, "ingress", "protocol", "all", "prio", String(tap + 1)];
  const action = [...mirror(tap), "continue"];
  await engine.tc("filter", "add", ...place, "bpf", "bytecode", MATCH_ALL, ...action);
}

async function replaceChain(engine: NetworkNamespace, taps: number): Promise<void> {
  const place = ["dev", SPAN, "ingress", "protocol", "all", "prio", "1"];
  if (taps > 1) await engine.tc("filter", "del", ...place);
  const actions = Array.from({ length: taps }, (_, tap) => [...mirror(tap), "pipe"]).flat();
  await engine.tc("filter", "add", ...place, "u32", "match", "u32", "0", "0", ...actions);
}

function mirror(tap: number): readonly string[] {
  return ["action", "mirred", "egress", "mirror", "dev", `tap${tap}`];
}
