/** Plain veth: a sender and a device at which the frames end. What a copy costs is measured against this limit. */
import { makeNamespace } from "@bulkhead/testkit";
import { addVeth, type Lane, ownedPlace, PORT, receivedAt, SPAN_MTU } from "./lane.ts";

/** Taps are not its business: adding one changes nothing. */
export async function openPlainLane(): Promise<Lane> {
  await using undo = new AsyncDisposableStack();
  const place = await ownedPlace(undo);
  const network = undo.use(await makeNamespace());
  await addVeth(network, PORT, place, "mon0", SPAN_MTU);
  const owned = undo.move();
  return {
    name: "limit",
    path: { namespace: network.name, device: PORT, received: () => receivedAt([place]) },
    queues: false,
    places: [],
    addTap: async () => undefined,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}
