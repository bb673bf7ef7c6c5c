/**
 * What stands around one canary during an attack: the relay to its adversary, and processes in the stand-in namespace
 * that answer in the place of the host's and of others' services.
 *
 * Invariants: everything that listens to the canary runs as the installation's unprivileged user; it ends with the
 * attack.
 */
import { chown, mkdtemp, rm, utimes, writeFile } from "node:fs/promises";
import { once } from "node:events";
import { createServer } from "node:net";
import { join } from "node:path";
import { CANARY_NAME, type CanaryReply, type ContainmentLayer } from "@bulkhead/schema";
import type { Params } from "../attempt.ts";
import { busOrder } from "./bus-order.ts";
import { Counting } from "./counting.ts";
import { Relay } from "./relay.ts";
import type { WitnessCounters } from "./witness.ts";
import { framesAt } from "./far-end.ts";
import { platformSecrets, runtimeLogDirs } from "./host-places.ts";
import type { DecoyOrder } from "../stand/decoys.ts";
import type { EgressOrder } from "../stand/egress.ts";
import type { Session } from "./session.ts";

export interface Stand extends AsyncDisposable {
  readonly relay: Relay;
  readonly counters: WitnessCounters;
  readonly params: Params;
}

export const DECOY_PORT = 7979;
/** Where nobody of a segment gets in: see the attempts on segments. */
const UNDECLARED = { host: "192.0.2.10", port: 17_979 } as const;
const MARK = "bulkhead-verify: nobody but the host's root may read this\n";

export async function makeStand(
  place: Pick<Session, "layout" | "settings" | "instrument" | "site" | "attempts" | "warden">,
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
  const startDecoys = async (order: DecoyOrder, netns?: string) =>
    undo.use(
      await Counting.start({
        ...services,
        argv: ["--decoys", JSON.stringify(order)],
        ...(netns === undefined ? {} : { netns }),
      }),
    );
  const { kind } = canary.spec.network;
  const isPlugged = kind === "port" || kind === "nic";
  const decoys = await startDecoys(
    { port: DECOY_PORT, loopback: false, ...(isPlugged ? { knockAt: UNDECLARED } : {}) },
    canary.standNetns,
  );
  const hostPort = await freePort();
  const onHost = await startDecoys({ port: hostPort, loopback: true });
  let outside: Counting | null = null;
  if (canary.spec.egress) {
    const dir = await mkdtemp("/tmp/bulkhead-verify-");
    undo.defer(() => rm(dir, { recursive: true, force: true }));
    const socketsDir = join(layout.egressDir, "sockets");
    await chown(dir, settings.uid, settings.gid);
    await chown(join(socketsDir, CANARY_NAME), settings.uid, settings.gid);
    const order: EgressOrder = { socketsDir, dir, withoutProxy: without.includes("egress-proxy") };
    const netns = `/run/netns/${layout.slug}-${CANARY_NAME}_out`;
    outside = undo.use(
      await Counting.start({ ...services, argv: ["--egress", JSON.stringify(order)], netns }),
    );
  }
  let bus: Counting | null = null;
  if (place.attempts.some(({ group, witness }) => group === "bus" || witness.kind === "bus")) {
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
  // Older than its content: where nobody has read it since, relatime lets the first reading show.
  await utimes(hostFile, new Date(0), new Date());
  undo.defer(() => rm(hostFile, { force: true }));
  let signals = 0;
  const onSignal = (): void => void (signals += 1);
  process.on("SIGURG", onSignal);
  undo.defer(() => void process.off("SIGURG", onSignal));
  const owned = undo.move();
  const { spec } = canary;
  return {
    relay,
    counters: {
      count: async (kind, name) => {
        const counting = kind === "bus" ? [bus] : [decoys, onHost, outside];
        const counts = await Promise.all(counting.map((one) => one?.count(name) ?? Promise.resolve(0)));
        return counts.reduce((sum, count) => sum + count, 0);
      },
      frames: () => framesAt(layout.slug, kind),
      host: {
        socketsDir: join(layout.socketsDir, CANARY_NAME),
        markFile: hostFile,
        logDirs: runtimeLogDirs(layout.slug),
        readBack: async () => void (await place.warden.readBack()),
        signals: () => signals,
        secrets: () => platformSecrets(layout),
      },
    },
    params: {
      memoryBytes: spec.memoryBytes,
      processes: spec.processes,
      hostPid: process.pid,
      hostFile,
      volumes: spec.volumes.map(({ id }) => `/data/${id}`),
      decoyPort: DECOY_PORT,
      hostPort,
      linkDir: spec.volumes[0] === undefined ? "/tmp" : `/data/${spec.volumes[0].id}`,
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

async function freePort(): Promise<number> {
  const server = createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  if (typeof address === "object" && address !== null) return address.port;
  throw new TypeError("a listening server has an address");
}
