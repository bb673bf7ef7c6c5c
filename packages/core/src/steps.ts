/**
 * Steps: the difference between desired and observed, in the order in which it is safe to act:
 * what must go goes first, guards before traffic, a container only onto what it needs, and what
 * cannot be undone last.
 *
 * Volumes' sizes are not part of what recreates a container: growing one needs no restart.
 */
import type { Name, Observed, Step } from "@bulkhead/schema";
import type { DesiredInstrument } from "./desired.ts";
import { egressFoundations, egressRemovals } from "./egress-steps.ts";
import { networkFoundations, networkRemovals } from "./network-steps.ts";
import { runs, type StepsInput } from "./steps-input.ts";
import { clings, sliceEnds, sliceOpenings } from "./slice-steps.ts";
import { closures, withoutLocked } from "./vault-steps.ts";

export type { StepsInput };

export function planSteps(input: StepsInput): readonly Step[] {
  const leaving = networkRemovals(input);
  const going = [...sliceEnds(input), ...removals(input), ...leaving.steps, ...egressRemovals(input)];
  const coming = withoutLocked(
    [
      ...foundations(input),
      ...networkFoundations(input),
      ...egressFoundations(input),
      ...containers(input, leaving.stopped),
      ...taps(input),
      // Last, so that a volume that is full keeps its instrument from nothing.
      ...sliceOpenings(input),
    ],
    input,
  );
  return [...going, ...closures([...going, ...coming], input), ...coming, ...destructions(input)];
}

function removals({ desired, observed }: StepsInput): readonly Step[] {
  const steps: Step[] = [];
  const wanted = new Map(desired.instruments.map((i) => [i.name, i]));
  for (const tap of observed.taps) {
    const kept = desired.taps.some((t) => t.instrument === tap.instrument && t.engine === tap.engine);
    if (kept) continue;
    const why = `no tap of ${tap.instrument} from ${tap.engine} in the site`;
    const target = tap.instrument;
    // Whether or not its filter is known: that of a tap that left the site is not.
    steps.push({ kind: "mirror.remove", target, why, instrument: tap.instrument, engine: tap.engine });
    if (tap.wire !== "none")
      steps.push({
        kind: "wire.disconnect",
        target,
        why,
        instrument: tap.instrument,
        engine: tap.engine,
      });
  }
  for (const { name } of observed.instruments) {
    if (!wanted.has(name))
      steps.push({
        kind: "instrument.remove",
        target: name,
        why: "not in the site",
        instrument: name,
      });
  }
  for (const span of observed.spans) {
    const kept = desired.spans.some(
      (s) => s.engine === span.engine && s.interface === span.interface && s.device === span.device,
    );
    if (!kept && span.state !== "absent") {
      steps.push({
        kind: "span.release",
        target: span.device,
        why: `${span.engine} does not own it any more`,
        engine: span.engine,
        interface: span.interface,
        device: span.device,
      });
    }
  }
  for (const engine of observed.engines) {
    if (!desired.spans.some((s) => s.engine === engine)) {
      steps.push({
        kind: "engine.remove",
        target: engine,
        why: "no capture engine of this name in the site",
        engine,
      });
    }
  }
  return steps;
}

function foundations({ desired, observed }: StepsInput): readonly Step[] {
  const steps: Step[] = [];
  const images = new Set(observed.images);
  for (const { name, spec } of desired.instruments) {
    if (images.has(spec.imageDigest)) continue;
    images.add(spec.imageDigest);
    steps.push({
      kind: "image.import",
      target: spec.package,
      why: `${name} runs it`,
      package: spec.package,
      digest: spec.imageDigest,
    });
  }
  for (const span of desired.spans) {
    if (!observed.engines.includes(span.engine)) {
      steps.push({
        kind: "engine.create",
        target: span.engine,
        why: `${span.interface} lives in its namespace`,
        engine: span.engine,
      });
    }
    const found = observed.spans.find(
      (s) => s.engine === span.engine && s.interface === span.interface && s.device === span.device,
    );
    const state = found?.state ?? "absent";
    if (state === "unguarded" || (state === "absent" && observed.devices.includes(span.device))) {
      const why = state === "absent" ? `${span.engine} owns it alone` : "a guard is missing";
      steps.push({ kind: "span.take", target: span.device, why, ...span });
    }
  }
  for (const { name, spec, files } of desired.instruments) {
    for (const volume of spec.volumes.filter((v) => v.kind === "persistent")) {
      const found = observed.volumes.find((v) => v.instrument === name && v.id === volume.id);
      const target = `${name}/${volume.id}`;
      // One that is cut otherwise is no volume of this kind: making it is refused, and its data stays.
      if (found === undefined || (found.slices === undefined) !== (volume.slices === undefined)) {
        steps.push({
          kind: "volume.create",
          target,
          why: "its manifest asks for it",
          instrument: name,
          id: volume.id,
          volume: volume.kind,
          sizeBytes: volume.sizeBytes,
          ...(volume.slices === undefined ? {} : { slices: volume.slices }),
        });
      } else if (found.sizeBytes < volume.sizeBytes) {
        steps.push({
          kind: "volume.grow",
          target,
          why: "the site grants more",
          instrument: name,
          id: volume.id,
          sizeBytes: volume.sizeBytes,
        });
      }
    }
    const delivered = observed.inboxes.some(
      (inbox) => inbox.instrument === name && inbox.version === files?.version,
    );
    if (files !== null && !delivered) {
      steps.push({
        kind: "inbox.put",
        target: name,
        why: "its config names these files",
        instrument: name,
        version: files.version,
        files: [...files.files],
      });
    }
  }
  return steps;
}

function containers(input: StepsInput, ended: ReadonlySet<Name>): readonly Step[] {
  return input.desired.instruments.flatMap((instrument) => {
    const found = input.observed.instruments.find((i) => i.name === instrument.name);
    const target = instrument.name;
    const steps: Step[] = [];
    // The namespace that its container joins is there while it shall run: what is to be made waits until then.
    const makeable = runs(instrument, input) || !joinsPort(instrument);
    const remake = found === undefined || !makeable ? null : reasonToRemake(instrument, found);
    if (remake !== null) steps.push({ kind: "instrument.remove", target, why: remake, instrument: target });
    if (makeable && (found === undefined || remake !== null)) {
      const { spec, specDigest } = instrument;
      steps.push({
        kind: "instrument.create",
        target,
        why: remake ?? "the site has it",
        instrument: target,
        spec,
        specDigest,
      });
    }
    const state = remake === null && !ended.has(target) ? (found?.state ?? "stopped") : "stopped";
    if (!runs(instrument, input)) {
      if (state !== "stopped")
        steps.push({
          kind: "instrument.stop",
          target,
          why: instrument.enabled ? "stopped by hand" : "not enabled",
          instrument: target,
        });
      return steps;
    }
    const holds = state === "running" && clings(target, input.observed);
    if (state === "running" && !holds) return steps;
    if (state !== "stopped")
      steps.push({
        kind: "instrument.stop",
        target,
        why: holds ? "it keeps files open of a slice that is past its period" : `its container is ${state}`,
        instrument: target,
      });
    if (!input.held.includes(target))
      steps.push({ kind: "instrument.start", target, why: "it shall run", instrument: target });
    return steps;
  });
}

function joinsPort({ spec }: DesiredInstrument): boolean {
  return spec.network.kind === "port" || spec.network.kind === "nic";
}

function reasonToRemake(
  instrument: DesiredInstrument,
  found: Observed["instruments"][number],
): string | null {
  if (found.specDigest !== instrument.specDigest) return "what it shall be has changed";
  return found.deviations.length > 0 ? `its containment differs: ${found.deviations.join("; ")}` : null;
}

/** Wires and mirrors of instruments that run, or will when the steps before were taken. */
function taps(input: StepsInput): readonly Step[] {
  const { desired, observed } = input;
  return desired.taps.flatMap((tap) => {
    const instrument = desired.instruments.find((i) => i.name === tap.instrument);
    if (instrument === undefined || !runs(instrument, input)) return [];
    const container = observed.instruments.find((i) => i.name === tap.instrument);
    const stays = container?.state === "running" && reasonToRemake(instrument, container) === null;
    if (!stays && input.held.includes(tap.instrument)) return [];
    const found = observed.taps.find((t) => t.instrument === tap.instrument && t.engine === tap.engine);
    const connected = stays && found?.wire === "connected";
    const steps: Step[] = [];
    const target = tap.instrument;
    if (!connected) {
      const why =
        found?.wire === "broken" && stays
          ? "its wire is broken"
          : `the site gives it a tap from ${tap.engine}`;
      steps.push({ kind: "wire.connect", target, why, instrument: target, engine: tap.engine });
    }
    const span = observed.spans.find((s) => s.engine === tap.engine && s.interface === tap.interface);
    const device = desired.spans.find((s) => s.engine === tap.engine)?.device ?? "";
    const spanThere = (span !== undefined && span.state !== "absent") || observed.devices.includes(device);
    if (spanThere && (!connected || found?.filter !== tap.filter)) {
      const why = tap.filter === "" ? "all frames" : `frames that match ${tap.filter}`;
      steps.push({
        kind: "mirror.set",
        target,
        why,
        instrument: target,
        engine: tap.engine,
        interface: tap.interface,
        filter: tap.filter,
      });
    }
    return steps;
  });
}

/** What cannot be undone comes last, when all else has worked. */
function destructions({ desired, observed }: StepsInput): readonly Step[] {
  const steps: Step[] = [];
  const wanted = new Map(desired.instruments.map((i) => [i.name, i]));
  for (const { instrument } of observed.inboxes) {
    if (wanted.has(instrument)) continue;
    steps.push({ kind: "inbox.remove", target: instrument, why: "not in the site", instrument });
  }
  for (const instrument of observed.resourceDirs) {
    if (wanted.get(instrument)?.spec.resources === true) continue;
    const why = "no instrument in the site takes resources under this name";
    steps.push({ kind: "resources.remove", target: instrument, why, instrument });
  }
  for (const volume of observed.volumes) {
    if (volume.kind !== "persistent") continue;
    const kept = wanted.get(volume.instrument)?.spec.volumes.some((v) => v.id === volume.id);
    if (kept !== true) {
      const target = `${volume.instrument}/${volume.id}`;
      steps.push({
        kind: "volume.remove",
        target,
        why: "no instrument in the site has it: its data is destroyed",
        instrument: volume.instrument,
        id: volume.id,
      });
    }
  }
  const used = new Set(desired.instruments.map((i) => i.spec.imageDigest));
  for (const digest of observed.images.filter((image) => !used.has(image))) {
    steps.push({ kind: "image.remove", target: digest.slice(0, 12), why: "no instrument runs it", digest });
  }
  return steps;
}
