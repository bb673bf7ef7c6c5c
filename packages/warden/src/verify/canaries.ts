/**
 * Canaries: twins of instruments in which a proof runs an adversary.
 *
 * Invariants: one at a time, under a name that no site can give; made from the instrument's own record by the same
 * planner; nobody's data is in it; layers are left out of it and of nothing else. It goes when its owner says so or is
 * gone (api/canary-connection.ts), and before warden holds anything after its own death.
 */
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import type { DesiredPort } from "@bulkhead/core";
import {
  type AttackOrder,
  CANARY_NAME,
  type CanaryOrder,
  type CanaryReply,
  CONTAINMENT_LAYERS,
  type ContainmentLayer,
  type InstrumentSpec,
} from "@bulkhead/schema";
import * as z from "zod";
import { INSTRUMENT_UID } from "../engine/idmap-claims.ts";
import { removePlaces } from "../engine/instance-places.ts";
import {
  instancePath,
  killInstance,
  pidOf,
  removeInstance,
  startInstance,
} from "../engine/instance-state.ts";
import { attachAll, detachAll, type InstancesParts } from "../engine/instances.ts";
import { type KnownInstrument, knownInstruments } from "../engine/known-instruments.ts";
import { ADVERSARY_PATH, profilePaths } from "../engine/profile-paths.ts";
import { kernelDeviations, settledDeviations } from "../engine/profile-readback.ts";
import { planProfile } from "../engine/profile.ts";
import { Instance } from "../engine/runtime-schemas.ts";
import { WardenError } from "../error.ts";
import { TaskQueue } from "../hold/task-queue.ts";
import type { CanaryStand } from "./canary-stand.ts";
import { unwound } from "../unwound.ts";
import { twinDifferences } from "./twin-differences.ts";

/** A canary, and its end. */
export interface HeldCanary {
  readonly reply: CanaryReply;
  /** Once it is being removed, by whomever. */
  readonly ended: Promise<"ended">;
  /** Removes it if it is still there. @returns whether it was */
  release(): Promise<boolean>;
}

/** LXD's and Incus' metadata.yaml of an image. */
const ImageMetadata = z.looseObject({ templates: z.record(z.string(), z.unknown()).nullish() });

export interface Canaries {
  /**
   * Makes the canary of an instrument and starts it; a former one is removed first.
   * @throws WardenError `unknown-instrument`, `canary-differs` {deviations}; those of Instances.create and start
   */
  create(order: CanaryOrder): Promise<HeldCanary>;
  /** Runs the adversary until it ends. @throws WardenError `canary-missing`; those of RuntimeClient */
  attack(order: AttackOrder): Promise<void>;
  /** Removes the canary and all that was made for it; does nothing where there is none. */
  remove(): Promise<void>;
  /** Host pid of the one that stands, and what it was made from. */
  standing(): { readonly spec: InstrumentSpec; readonly pid: number } | null;
}

const ATTACK_TIMEOUT_MS = 600_000;
/** Longest wait for somebody else to let go of a canary's volume. */
const BUSY_MS = 30_000;
/** A canary's volumes are as small as still shows a quota. */
const VOLUME_BYTES = 64 * 2 ** 20;
const IDLE_COMMAND = ["/bin/busybox", "sleep", "1000000000"] as const;
/** A tap's instrument holds NET_RAW from its first process on; nobody who is started later can be given it. */
const TAP_COMMAND = ["/bin/busybox", "sh", `${ADVERSARY_PATH}/first-process.sh`] as const;
const TAP_USER = ["/bin/busybox", "sh", "-c", "echo go > /tmp/start; read -r word < /tmp/ended"] as const;
const NODE = ["/opt/node/bin/node", "--max-semi-space-size=1", "--optimize-for-size"] as const;

/** @param ports what the site wants of ports on segments */
export function canaries(
  parts: InstancesParts,
  stand: CanaryStand,
  ports: () => readonly DesiredPort[],
): Canaries {
  const { client, layout, volumes, inboxes, resources, kernel, commands } = parts;
  const known = knownInstruments({ ...parts, dialect: client.dialect });
  const path = instancePath(CANARY_NAME);
  let present: (KnownInstrument & { readonly pid: number; readonly end: () => void }) | null = null;
  // An owner may go away in the middle of an order: the next one waits until it is done.
  const queue = new TaskQueue();

  const remove = async (): Promise<void> => {
    present?.end();
    present = null;
    await killInstance(client, CANARY_NAME);
    await whenFree(() => detachAll(volumes, CANARY_NAME));
    await removeInstance(client, CANARY_NAME);
    for (const volume of await volumes.observe())
      if (volume.instrument === CANARY_NAME) await whenFree(() => volumes.remove(volume));
    await inboxes.remove(CANARY_NAME);
    await resources.remove(CANARY_NAME);
    await removePlaces(layout, CANARY_NAME);
    for (const dir of [layout.socketsDir, join(layout.egressDir, "sockets")])
      await rm(join(dir, CANARY_NAME), { recursive: true, force: true });
    await stand.remove();
  };

  const plan = async (spec: InstrumentSpec, without: ReadonlySet<ContainmentLayer>) => {
    const paths = {
      ...profilePaths(layout, spec, (id) => volumes.dataDir({ instrument: spec.name, id })),
      adversaryDir: join(layout.optDir, "adversary"),
    };
    const idmapBase = await parts.idmaps.baseOf(CANARY_NAME);
    const common = {
      spec,
      specDigest: CANARY_NAME,
      paths,
      idmapBase,
      dialect: client.dialect,
      host: parts.host,
    };
    return {
      record: { spec, specDigest: CANARY_NAME },
      profile: planProfile({ ...common, without }),
      paths,
      idmapBase,
    };
  };

  const create = async ({ instrument, without: layers }: CanaryOrder): Promise<HeldCanary> => {
    const original = await known.find(instrument);
    if (original === null) {
      throw new WardenError("unknown-instrument", `no instrument ${instrument} has a container`);
    }
    const without = new Set(layers.filter((layer) => CONTAINMENT_LAYERS[layer].kind !== "host"));
    await remove();
    await using undo = new AsyncDisposableStack();
    undo.defer(remove);
    const one = await plan(canarySpec(original.record.spec), without);
    for (const volume of one.record.spec.volumes) {
      if (volume.kind === "persistent") await volumes.create({ instrument: CANARY_NAME, ...volume });
    }
    const real = ports().find((port) => port.instrument === instrument) ?? null;
    const { engine, netnsFile } = await stand.prepare(original.record.spec, real, without);
    await attachAll(parts, one);
    const { config, devices } = one.profile;
    const source = { type: "image", fingerprint: one.record.spec.imageDigest };
    await client.post("/1.0/instances", {
      name: CANARY_NAME,
      type: "container",
      source,
      profiles: [],
      config,
      devices,
    });
    const made = await client.get(path, Instance);
    await startInstance(client, made, undefined);
    const pid = await pidOf(client, CANARY_NAME, undefined);
    if (pid === null) throw new WardenError("instrument-ended", "the canary ended at once");
    if (one.profile.kernel.network.kind === "own" && !without.has("network-namespace")) {
      await commands.run(["nsenter", `--net=/proc/${pid}/ns/net`, "--", "ip", "link", "set", "lo", "up"]);
    }
    if (engine && !without.has("network-namespace")) await stand.connect(pid, without);
    const weakened = without.size > 0;
    const deviations = (await (weakened ? kernelDeviations : settledDeviations)(
      one.profile,
      pid,
      kernel,
    )) ?? ["it ended"];
    if (!weakened && deviations.length > 0) {
      const text = deviations.join("; ");
      throw new WardenError("canary-differs", `the canary is not contained: ${text}`, {
        fields: { instrument, deviations: text },
      });
    }
    const twin = await client.get(instancePath(instrument), Instance);
    const { templates } = await client.get(`${path}/metadata`, ImageMetadata);
    const differences = weakened ? [] : twinDifferences(layout, twin, made);
    const { promise: ended, resolve } = Promise.withResolvers<"ended">();
    const mine = { ...one, pid, end: () => resolve("ended") };
    present = mine;
    undo.move();
    return {
      reply: {
        pid,
        idmapBase: one.idmapBase,
        spec: one.record.spec,
        standNetns: netnsFile,
        templates: Object.keys(templates ?? {}),
        differences: [...differences],
        deviations: [...deviations],
      },
      ended,
      release: () =>
        queue.run(async () => {
          if (present !== mine) return false;
          await remove();
          return true;
        }),
    };
  };

  return {
    create: (order) => queue.run(() => create(order).catch(tellUnwound)),
    remove: () => queue.run(remove),
    standing: () => (present === null ? null : { spec: present.record.spec, pid: present.pid }),

    async attack({ as }) {
      if (present === null)
        throw new WardenError("canary-missing", "there is no canary to run an adversary in");
      const netRaw = present.record.spec.capabilities.includes("NET_RAW");
      const asUser = as === "user";
      const id = asUser ? INSTRUMENT_UID : 0;
      const body = {
        command: asUser && netRaw ? [...TAP_USER] : [...NODE, `${ADVERSARY_PATH}/adversary.cjs`],
        environment: { HOME: "/tmp" },
        user: id,
        group: id,
        cwd: "/",
        "wait-for-websocket": false,
        interactive: false,
      };
      await client.post(`${path}/exec`, body, { timeoutMs: ATTACK_TIMEOUT_MS });
    },
  };
}

/** Another program's new mount namespace holds copies of mounts for as long as it lives, mostly a moment. */
async function whenFree(act: () => Promise<void>): Promise<void> {
  const deadline = performance.now() + BUSY_MS;
  for (;;) {
    try {
      return await act();
    } catch (error) {
      const busy = error instanceof WardenError && error.code === "volume-busy";
      if (!busy || performance.now() > deadline) throw error;
    }
    await delay(200);
  }
}

/** Only where something failed while it was undone is there more to tell than the error itself. */
function tellUnwound(error: unknown): never {
  if (!(error instanceof SuppressedError)) throw error;
  const { code, message, cause } = unwound(error);
  throw new WardenError(code ?? "step-failed", message, { cause });
}

function canarySpec(spec: InstrumentSpec): InstrumentSpec {
  return {
    ...spec,
    name: CANARY_NAME,
    command: spec.capabilities.includes("NET_RAW") ? [...TAP_COMMAND] : [...IDLE_COMMAND],
    // Whole ones: an attempt on a volume needs a place to write to that no time makes or takes.
    volumes: spec.volumes.map(({ id, kind, sizeBytes }) => ({
      id,
      kind,
      sizeBytes: Math.min(sizeBytes, VOLUME_BYTES),
    })),
  };
}
