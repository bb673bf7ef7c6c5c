/**
 * Bulkhead's datapath, made by warden's own code: guards, filters and counters as a sensor has them, in namespaces of
 * the bench alone. Each tap has a filter of its own, the empty one: it matches all.
 */
import { randomBytes } from "node:crypto";
import { makeNamespace, runCommand } from "@bulkhead/testkit";
import { hostCommands } from "../../../packages/warden/src/commands.ts";
import { NamespaceCensus } from "../../../packages/warden/src/datapath/namespace-census.ts";
import { kernelDatapath } from "../../../packages/warden/src/datapath/datapath.ts";
import { type Lane, ownedPlace, PORT, receivedAt, SPAN_MTU } from "./lane.ts";
import type { Place } from "./place.ts";

const ENGINE = "capture";
const SPAN = "span0";

export interface BulkheadLane extends Lane {
  /** How long each tap took to be connected and fed, in milliseconds. */
  readonly tapMs: readonly number[];
}

export async function openBulkheadLane(): Promise<BulkheadLane> {
  const id = randomBytes(3).toString("hex");
  const slug = `bulkhead-bn${id}`;
  const device = `bhbn${id}`;
  const commands = hostCommands();
  const datapath = kernelDatapath({ commands, slug, census: new NamespaceCensus(commands) });
  await using undo = new AsyncDisposableStack();
  const network = undo.use(await makeNamespace());
  // A span is a device of the host, until the engine takes it.
  const far = ["peer", "name", PORT, "mtu", String(SPAN_MTU), "netns", network.name];
  await runCommand("ip", ["link", "add", "name", device, "type", "veth", ...far]);
  undo.defer(() => removeDevice(device));
  await network.ip("link", "set", "dev", PORT, "up");
  undo.defer(() => datapath.removeEngine(ENGINE));
  await datapath.createEngine(ENGINE);
  await datapath.takeSpan({ engine: ENGINE, interface: SPAN, device });
  const places: Place[] = [];
  const tapMs: number[] = [];
  const owned = undo.move();
  return {
    name: "bulkhead",
    path: { namespace: network.name, device: PORT, received: () => receivedAt(places) },
    queues: false,
    places,
    tapMs,
    async addTap() {
      const place = await ownedPlace(owned);
      const instrument = `tap${places.length}`;
      const beganMs = performance.now();
      await datapath.connectWire({ engine: ENGINE, instrument, pid: place.pid });
      await datapath.setMirror({ engine: ENGINE, instrument, interface: SPAN, filter: "" });
      tapMs.push(performance.now() - beganMs);
      places.push(place);
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** Given back by the engine, or gone with the network at its other end. */
async function removeDevice(device: string): Promise<void> {
  const { stdout } = await runCommand("ip", ["-o", "link", "show"]);
  if (stdout.includes(` ${device}@`)) await runCommand("ip", ["link", "del", "dev", device]);
}
