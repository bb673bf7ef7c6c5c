/**
 * What stands around one canary during an attack: the relay to its adversary, and processes in the stand-in namespace
 * that answer in the place of the host's and of others' services.
 *
 * Invariants: everything that listens to the canary runs as the installation's unprivileged user; it ends with the
 * attack.
 */
import { chown, mkdtemp, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { CANARY_NAME, type CanaryReply, type ContainmentLayer } from "@bulkhead/schema";
import type { Params } from "../attempt.ts";
import { busOrder } from "./bus-order.ts";
import { Counting } from "./counting.ts";
import { Relay } from "./relay.ts";
import type { WitnessCounters } from "./witness.ts";
import { receivedFrames } from "./far-end.ts";
import type { Session } from "./session.ts";

export interface Stand extends AsyncDisposable {
  readonly relay: Relay;
  readonly counters: WitnessCounters;
  readonly params: Params;
}

export const DECOY_PORT = 7979;
const MARK = "bulkhead-verify: nobody but the host's root may read this\n";

export async function makeStand(
  place: Pick<Session, "layout" | "settings" | "instrument" | "site" | "attempts">,
  canary: CanaryReply,
  without: readonly ContainmentLayer[],
): Promise<Stand> {
  const { layout, settings, instrument, site } = place;
  await using undo = new AsyncDisposableStack();
  const node = join(layout.nodeDir, "bin/node");
  const program = join(layout.optDir, "verify-relay.mjs");
  const socketPath = join(layout.socketsDir, CANARY_NAME, "verify.sock");
  const relay = undo.use(await Relay.start({ node, program, socketPath, ...settings }));
  const services = { node, program, ...settings };
  const decoys = undo.use(
    await Counting.start({ ...services, argv: ["--decoys", String(DECOY_PORT)], netns: canary.standNetns }),
  );
  let bus: Counting | null = null;
  if (place.attempts.some(({ group }) => group === "bus")) {
    const dir = await mkdtemp("/tmp/bulkhead-verify-");
    undo.defer(() => rm(dir, { recursive: true, force: true }));
    const orderFile = join(dir, "bus.json");
    await writeFile(orderFile, JSON.stringify(busOrder({ layout, site, instrument, without, dir })), {
      mode: 0o644,
    });
    // Last: root writes nothing into a directory that is another's.
    await chown(dir, settings.uid, settings.gid);
    bus = undo.use(await Counting.start({ ...services, argv: ["--bus", orderFile] }));
  }
  const hostFile = join(layout.wardenDir, "verify-mark");
  await writeFile(hostFile, MARK, { mode: 0o600 });
  undo.defer(() => rm(hostFile, { force: true }));
  const owned = undo.move();
  const { spec } = canary;
  return {
    relay,
    counters: {
      count: async (kind, name) =>
        kind === "decoy" ? await decoys.count(name) : ((await bus?.count(name)) ?? 0),
      frames: () => (spec.network.kind === "mirror" ? receivedFrames(layout.slug) : Promise.resolve(0)),
    },
    params: {
      memoryBytes: spec.memoryBytes,
      processes: spec.processes,
      hostPid: process.pid,
      hostFile,
      volumes: spec.volumes.map(({ id }) => `/data/${id}`),
      decoyPort: DECOY_PORT,
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}
