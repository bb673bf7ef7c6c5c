/**
 * Instruments' containers: made, started, stopped and removed as a plan says, and observed.
 *
 * Invariants: every call is idempotent and unwinds what it began when it fails; a container runs only while it is what
 * its profile says, by the runtime's word before the start and by the kernel's after it; no snapshot, copy or
 * migration is ever made. It decides nothing and retries nothing.
 */
import type { InstallationLayout, InstrumentSpec, ObservedInstrument, Settings } from "@bulkhead/schema";
import type { Commands } from "../commands.ts";
import { WardenError } from "../error.ts";
import type { Inboxes } from "../inbox/inbox.ts";
import type { ResourceDirectories } from "../resources/resource-directories.ts";
import type { NewVolume, VolumeStore } from "../volumes/volume-store.ts";
import { configDeviations } from "./config-deviations.ts";
import type { HostFacts } from "./host-facts.ts";
import { type IdmapClaims, INSTRUMENT_UID } from "./idmap-claims.ts";
import { preparePlaces, removePlaces } from "./instance-places.ts";
import {
  instancePath,
  killInstance,
  pidOf,
  removeInstance,
  startFailure,
  startInstance,
  stateOf,
  stopInstance,
} from "./instance-state.ts";
import type { KernelView } from "./kernel-view.ts";
import { type KnownInstrument, knownInstruments } from "./known-instruments.ts";
import { observeInstances } from "./observe-instances.ts";
import { kernelDeviations, settledDeviations } from "./profile-readback.ts";
import { SPEC_DIGEST_KEY } from "./profile.ts";
import type { RuntimeClient } from "./runtime-client.ts";
import { Instance } from "./runtime-schemas.ts";

export interface InstancesParts {
  readonly client: RuntimeClient;
  readonly layout: InstallationLayout;
  /** Ids of the platform's user, who makes the sockets. */
  readonly settings: Pick<Settings, "uid" | "gid">;
  readonly host: HostFacts;
  readonly idmaps: IdmapClaims;
  readonly volumes: VolumeStore;
  readonly inboxes: Inboxes;
  readonly resources: Pick<ResourceDirectories, "prepare" | "remove">;
  readonly kernel: KernelView;
  readonly commands: Commands;
}

export interface Instances {
  /**
   * Makes the container, stopped. One that was made from the same spec is left alone.
   * @throws WardenError `instrument-exists` for one of another spec, `instrument-deviates`; those of planProfile,
   *   IdmapClaims and RuntimeClient
   */
  create(spec: InstrumentSpec, specDigest: string, signal?: AbortSignal): Promise<void>;
  /** Stops and removes the container; its volumes, inbox, resources, sockets' directory and id range stay. */
  remove(instrument: string, signal?: AbortSignal): Promise<void>;
  /**
   * Attaches its volumes, starts it, and reads it back. One that runs is only read back.
   * @throws WardenError `instrument-unknown`, `instrument-deviates` {deviations} (it is stopped then),
   *   `instrument-start-failed` {log}, `instrument-ended`, `instrument-netns-missing`; those of VolumeStore.attach and RuntimeClient
   */
  start(instrument: string, signal?: AbortSignal): Promise<void>;
  /** Stops it: SIGTERM first, SIGKILL after ten seconds; then its volumes are detached. */
  stop(instrument: string, signal?: AbortSignal): Promise<void>;
  /** SIGKILL for all of it; its volumes stay attached until it is stopped or started. */
  kill(instrument: string): Promise<void>;
  /** All containers of the installation's project, each read back. */
  observe(): Promise<readonly ObservedInstrument[]>;
}

export function instances(parts: InstancesParts): Instances {
  const { client, layout, volumes, kernel } = parts;
  const instruments = knownInstruments({ ...parts, dialect: client.dialect });
  const find = (instrument: string, signal: AbortSignal | undefined) =>
    client.find(instancePath(instrument), Instance, { signal });

  const bringDown = async (instrument: string): Promise<void> => {
    await killInstance(client, instrument);
    await detachAll(volumes, instrument);
  };

  return {
    async create(spec, specDigest, signal) {
      const present = await find(spec.name, signal);
      const known = await instruments.find(spec.name);
      if (present !== null) {
        if (known !== null && present.config[SPEC_DIGEST_KEY] === specDigest) return;
        throw new WardenError("instrument-exists", `${spec.name}: a container of another spec is there`, {
          fields: { instrument: spec.name },
        });
      }
      const one = await instruments.plan({ spec, specDigest });
      await using undo = new AsyncDisposableStack();
      await instruments.keep(one);
      undo.defer(() => instruments.forget(spec.name));
      // The runtime takes a disk device only while its source is there. Directories in place of the volumes would do,
      // but then a container could start without its volumes.
      await using attached = new AsyncDisposableStack();
      attached.defer(() => detachAll(volumes, spec.name));
      await attachAll(parts, one);
      undo.defer(() => removeInstance(client, spec.name));
      const { config, devices } = one.profile;
      const source = { type: "image", fingerprint: spec.imageDigest };
      const body = { name: spec.name, type: "container", source, profiles: [], config, devices };
      await client.post("/1.0/instances", body, { signal });
      const made = await client.get(instancePath(spec.name), Instance, { signal });
      requireNone(spec.name, configDeviations(one.profile, made));
      undo.move();
    },

    async remove(instrument, signal) {
      await stopInstance(client, instrument, signal);
      await detachAll(volumes, instrument);
      await removeInstance(client, instrument);
      await instruments.forget(instrument);
      await removePlaces(layout, instrument);
    },

    async start(instrument, signal) {
      const instance = await find(instrument, signal);
      const one = await instruments.find(instrument);
      if (instance === null || one === null) {
        throw new WardenError("instrument-unknown", `${instrument}: there is no container of ours`, {
          fields: { instrument },
        });
      }
      await using undo = new AsyncDisposableStack();
      undo.defer(() => bringDown(instrument));
      requireNone(instrument, configDeviations(one.profile, instance));
      const running = stateOf(instance) === "running";
      const dead = running && !(await isAlive(parts, one, signal));
      if (dead) await bringDown(instrument);
      if (dead || !running) {
        await attachAll(parts, one);
        await startInstance(client, instance, signal);
      }
      await verify(parts, one, signal);
      undo.move();
    },

    async stop(instrument, signal) {
      await stopInstance(client, instrument, signal);
      await detachAll(volumes, instrument);
    },

    kill: (instrument) => killInstance(client, instrument),

    observe: () => observeInstances(client, instruments, kernel),
  };
}

/** Whatever a container needs on the host. A frozen one has it, and keeps its volumes. */
export async function attachAll(parts: InstancesParts, one: KnownInstrument): Promise<void> {
  const { name } = one.record.spec;
  const id = one.idmapBase + INSTRUMENT_UID;
  for (const volume of one.record.spec.volumes) {
    const wanted: NewVolume = { instrument: name, ...volume };
    await parts.volumes.attach(wanted, { uid: id, gid: id });
  }
  await parts.inboxes.prepare(name);
  if (one.record.spec.resources) await parts.resources.prepare(name);
  await preparePlaces(one.profile, one.paths, parts.settings);
}

export async function detachAll(volumes: VolumeStore, instrument: string): Promise<void> {
  for (const volume of await volumes.observe()) {
    if (volume.instrument === instrument) await volumes.detach(volume);
  }
}

/** A runtime calls a container running for some time after its first process was killed. */
async function isAlive(
  { client, kernel }: InstancesParts,
  { record, profile }: KnownInstrument,
  signal: AbortSignal | undefined,
): Promise<boolean> {
  const pid = await pidOf(client, record.spec.name, signal);
  return pid !== null && (await kernelDeviations(profile, pid, kernel)) !== null;
}

async function verify(
  { client, commands, kernel }: InstancesParts,
  one: KnownInstrument,
  signal: AbortSignal | undefined,
): Promise<void> {
  const { name } = one.record.spec;
  const pid = await pidOf(client, name, signal);
  if (pid === null) throw endedAtOnce(name);
  const deviations = await settledDeviations(one.profile, pid, kernel, signal);
  if (deviations === null) throw endedAtOnce(name);
  requireNone(name, deviations);
  if (one.profile.kernel.network.kind !== "own") return;
  // A container without a NIC has `lo` down, and no capability to set it up by itself.
  const up = ["ip", "link", "set", "lo", "up"];
  try {
    await commands.run(["nsenter", `--net=/proc/${pid}/ns/net`, "--", ...up], signal ? { signal } : {});
  } catch (cause) {
    if ((await kernelDeviations(one.profile, pid, kernel)) === null) throw endedAtOnce(name);
    throw await startFailure(client, name, cause);
  }
}

/** @throws WardenError `instrument-deviates` */
function requireNone(instrument: string, deviations: readonly string[]): void {
  if (deviations.length === 0) return;
  const text = deviations.join("; ");
  throw new WardenError("instrument-deviates", `${instrument} is not contained: ${text}`, {
    fields: { instrument, deviations: text },
  });
}

/** It did start, and what it ran ended by itself before it could be looked at. */
function endedAtOnce(instrument: string): WardenError {
  return new WardenError("instrument-ended", `${instrument} ended at once`, { fields: { instrument } });
}
