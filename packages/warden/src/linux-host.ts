/**
 * The real host: each step's executor, and what is observed, from the container runtime, the
 * kernel's datapath, the volumes and the inboxes. It decides nothing.
 */
import { join } from "node:path";
import type { InstallationLayout, Settings } from "@bulkhead/schema";
import { HOST_LAYOUT } from "@bulkhead/schema";
import type { Commands } from "./commands.ts";
import { kernelDatapath, type Known } from "./datapath/datapath.ts";
import { foreignSpansOf } from "./datapath/foreign-spans.ts";
import { KernelHints } from "./datapath/kernel-hints.ts";
import { NamespaceCensus } from "./datapath/namespace-census.ts";
import { egress } from "./egress/egress.ts";
import { absentLayers, observeHostFacts } from "./engine/host-facts.ts";
import { idmapClaims, INSTRUMENT_UID } from "./engine/idmap-claims.ts";
import { images } from "./engine/images.ts";
import { instances, type InstancesParts } from "./engine/instances.ts";
import { hostKernelView } from "./engine/kernel-view.ts";
import type { RuntimeClient } from "./engine/runtime-client.ts";
import { removeRuntimeHome } from "./engine/runtime-home.ts";
import { WardenError } from "./error.ts";
import { kernelNetwork } from "./network/network.ts";
import type { Host } from "./hold/ports.ts";
import { inboxes } from "./inbox/inbox.ts";
import { resourceDirectories } from "./resources/resource-directories.ts";
import { canaries } from "./verify/canaries.ts";
import { canaryStand } from "./verify/canary-stand.ts";
import { type Proving, withoutCanary } from "./verify/proving.ts";
import type { VolumeOwner, VolumeStore } from "./volumes/volume-store.ts";

export interface LinuxHostParts {
  readonly client: RuntimeClient;
  readonly layout: InstallationLayout;
  readonly settings: Settings;
  readonly commands: Commands;
  readonly volumes: VolumeStore;
}

export async function linuxHost({
  client,
  layout,
  settings,
  commands,
  volumes,
}: LinuxHostParts): Promise<Host & { readonly proving: Proving }> {
  const census = new NamespaceCensus(commands);
  const datapath = kernelDatapath({ commands, slug: layout.slug, census });
  const inbox = inboxes(layout);
  const resources = resourceDirectories(layout, settings, commands);
  const catalogueImages = images(client, layout);
  const idmaps = idmapClaims({
    installation: layout.name,
    claimsDir: HOST_LAYOUT.idmapDir,
    recordsDir: join(layout.wardenDir, "idmap"),
  });
  const facts = await observeHostFacts();
  const containerParts: InstancesParts = {
    client,
    layout,
    settings,
    host: facts,
    idmaps,
    volumes,
    inboxes: inbox,
    resources,
    kernel: hostKernelView(),
    commands,
  };
  const containers = instances(containerParts);
  const listeners = new Set<() => void>();
  const hint = (): void => {
    for (const listener of listeners) listener();
  };
  const hints = new KernelHints(layout.slug, hint);
  const network = await kernelNetwork({
    commands,
    slug: layout.slug,
    libDir: layout.libDir,
    onHint: hint,
  });
  const stand = canaryStand(commands, layout.slug, datapath);
  const proving: Proving = {
    canaries: canaries(containerParts, stand, () => network.wantedPorts()),
    readBack: () => containers.observe(),
  };
  const outlet = await egress({ commands, layout, onHint: hint });

  const running = async (): Promise<ReadonlyMap<string, number>> =>
    new Map((await containers.observe()).flatMap((i) => (i.pid === null ? [] : [[i.name, i.pid]])));
  const pidOf = async (instrument: string): Promise<number> => {
    const pid = (await running()).get(instrument);
    if (pid !== undefined) return pid;
    throw new WardenError("instrument-not-running", `${instrument} does not run, so it cannot get a wire`);
  };

  const ownerOf = async (instrument: string): Promise<VolumeOwner> => {
    const id = (await idmaps.baseOf(instrument)) + INSTRUMENT_UID;
    return { uid: id, gid: id };
  };

  return {
    proving,
    executors: {
      "image.import": (step) => catalogueImages.importImage(step.package, step.digest),
      "image.remove": (step) => catalogueImages.removeImage(step.digest),
      "engine.create": (step) => datapath.createEngine(step.engine),
      "engine.remove": (step) => datapath.removeEngine(step.engine),
      "span.take": (step) => datapath.takeSpan(step),
      "span.release": (step) => datapath.releaseSpan(step),
      "volume.create": ({ instrument, id, volume: kind, sizeBytes, slices }) =>
        volumes.create({ instrument, id, kind, sizeBytes, slices }),
      "volume.grow": (step) => volumes.grow(step, step.sizeBytes),
      "volume.detach": (step) => volumes.detach(step),
      "volume.remove": (step) => volumes.remove(step),
      "slice.open": async (step) => volumes.openSlice(step, step.slice, await ownerOf(step.instrument)),
      "slice.destroy": (step) => volumes.destroySlice(step, step.slice),
      "inbox.put": (step, { siteDir }) => inbox.put({ ...step, siteDir }),
      "instrument.create": (step) => containers.create(step.spec, step.specDigest),
      "inbox.remove": (step) => inbox.remove(step.instrument),
      "resources.remove": (step) => resources.remove(step.instrument),
      "instrument.remove": async (step) => {
        await datapath.keepWireCounts();
        await containers.remove(step.instrument);
      },
      "instrument.start": (step) => containers.start(step.instrument),
      "instrument.stop": async (step) => {
        await datapath.keepWireCounts();
        await containers.stop(step.instrument);
      },
      "wire.connect": async ({ engine, instrument }) =>
        datapath.connectWire({ engine, instrument, pid: await pidOf(instrument) }),
      "wire.disconnect": (step) => datapath.disconnectWire(step),
      "mirror.set": (step) => datapath.setMirror(step),
      "mirror.remove": (step) => datapath.removeMirror(step),
      "segment.create": (step) => network.createSegment(step),
      "segment.remove": (step) => network.removeSegment(step.segment),
      "port.connect": (step) => network.connectPort(step),
      "port.disconnect": (step) => network.disconnectPort(step.instrument),
      "nic.give": (step) => network.giveNic(step),
      "nic.return": (step) => network.returnNic(step.instrument),
      "egress.open": (step) => outlet.open(step),
      "egress.permit": (step) => outlet.permit(step),
      "egress.close": () => outlet.close(),
    },

    async observe({ taps, spans, segments, ports, nics, egress: wantedEgress }) {
      const named = await census.take();
      const [found, networks, importedImages, allVolumes, allInboxes, allResources, egress] =
        await Promise.all([
          containers.observe(),
          network.observe({ ports, nics }, named),
          catalogueImages.observeImages(),
          volumes.observe(),
          inbox.observe(),
          resources.observe(),
          outlet.observe(wantedEgress),
        ]);
      const known: Known = {
        taps,
        pids: new Map(found.flatMap((i) => (i.pid === null ? [] : [[i.name, i.pid]]))),
      };
      const kernel = await datapath.observe(known, named);
      hints.follow(
        kernel.engines,
        [...spans, ...segments, ...nics, ...(wantedEgress === null ? [] : [wantedEgress])].map(
          ({ device }) => device,
        ),
        network.namespacesOf(networks),
      );
      return withoutCanary({
        devices: [...kernel.devices],
        claimedDevices: foreignSpansOf(named, layout.slug).map(({ device, slug }) => ({
          device,
          installation: installationOf(slug),
        })),
        images: [...importedImages],
        engines: [...kernel.engines],
        spans: [...kernel.spans],
        taps: [...kernel.taps],
        volumes: [...allVolumes],
        instruments: [...found],
        inboxes: [...allInboxes],
        resourceDirs: [...allResources],
        ...networks,
        absent: [
          ...absentLayers(facts),
          ...(networks.vlanDevices ? [] : ["VLAN devices: this kernel cannot make them"]),
        ],
        egress,
      });
    },

    async counters(taps, pids) {
      return (await datapath.counters({ taps, pids })).taps;
    },

    halt: (instrument) => containers.kill(instrument),

    onHint(listener) {
      listeners.add(listener);
    },

    networkReport: (ports) => network.report(ports),

    async rejectFilter(expression) {
      const check = await datapath.checkFilter(expression);
      return check.outcome === "accepted" ? null : check.message;
    },

    async teardown() {
      await removeRuntimeHome(client, layout);
    },
  };
}

/** The name that people use for it: `bulkhead` of the slug `bulkhead`, `x` of `bulkhead-x`. */
function installationOf(slug: string): string {
  return slug.replace(/^bulkhead-/, "");
}
