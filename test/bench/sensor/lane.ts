/**
 * Lane: one way from a sender to a number of taps. The bench runs the same bursts through several.
 *
 * Invariants: each lane has namespaces of its own and so has each tap; the sender's device is `port0` in `network`,
 * its other end the span; everything goes when the lane is disposed of.
 */
import { makeNamespace, type NetworkNamespace, runCommand } from "@bulkhead/testkit";
import type { BurstPath } from "./burst.ts";
import { makePlace, type Place } from "./place.ts";

export interface Lane extends AsyncDisposable {
  readonly name: string;
  readonly path: BurstPath;
  /** It queues frames, so that a short burst says little of what it keeps up with: given fewer and longer ones. */
  readonly queues: boolean;
  /** The places behind the taps, in the order in which they were added. */
  readonly places: readonly Place[];
  addTap(): Promise<void>;
}

/** Name of the lane's sender: the frames enter there. */
export const PORT = "port0";
/** Fits frames of 9,000 bytes and their tags. */
export const SPAN_MTU = 9216;

/** A network with a sender's port, whose other end is `device` of another namespace. */
export async function makeNetwork(peer: NetworkNamespace, device: string): Promise<NetworkNamespace> {
  await using undo = new AsyncDisposableStack();
  const network = undo.use(await makeNamespace());
  await addVeth(network, PORT, peer, device, SPAN_MTU);
  undo.move();
  return network;
}

/** A veth from one namespace to another, both ends up, without offloads at the end that sends. */
export async function addVeth(
  from: NetworkNamespace,
  name: string,
  to: NetworkNamespace | Place,
  peer: string,
  mtu: number,
): Promise<void> {
  const where = "pid" in to ? String(to.pid) : to.name;
  const far = ["peer", "name", peer, "mtu", String(mtu), "netns", where];
  await from.ip("link", "add", "name", name, "mtu", String(mtu), "type", "veth", ...far);
  await from.run("ethtool", ["-K", name, "tso", "off", "gso", "off", "tx", "off"]);
  await from.ip("link", "set", "dev", name, "up");
  if ("pid" in to) {
    await runCommand("nsenter", ["-t", where, "-n", "--", "ip", "link", "set", "dev", peer, "up"]);
  } else {
    await to.ip("link", "set", "dev", peer, "up");
  }
}

/** A place that goes with the stack. */
export async function ownedPlace(stack: AsyncDisposableStack): Promise<Place> {
  return stack.use(await makePlace());
}

/** Counts at each tap. */
export async function receivedAt(places: readonly Place[]): Promise<readonly number[]> {
  return Promise.all(places.map((place) => place.received()));
}
