/**
 * Plan: the immutable, fully decided, printable list of steps from what is to what shall be, with
 * what was asked, granted, missing and unused. Every step is idempotent.
 */
import * as z from "zod";
import { Addressing, Destination, IpNetwork, ListenPort } from "./addressing.ts";
import { EgressPolicy } from "./egress.ts";
import { Fault } from "./fault.ts";
import { Name } from "./name.ts";
import { SliceName } from "./slice.ts";
import { InstrumentSpec, SliceSpec } from "./spec.ts";

const step = { target: z.string(), why: z.string() };

export const SiteFile = z.strictObject({
  name: z.string(),
  sha256: z.string().regex(/^[0-9a-f]{64}$/),
});
export type SiteFile = z.infer<typeof SiteFile>;

export const Step = z.discriminatedUnion("kind", [
  z.strictObject({ kind: z.literal("image.import"), ...step, package: Name, digest: z.string() }),
  z.strictObject({ kind: z.literal("image.remove"), ...step, digest: z.string() }),
  z.strictObject({ kind: z.literal("engine.create"), ...step, engine: Name }),
  z.strictObject({ kind: z.literal("engine.remove"), ...step, engine: Name }),
  z.strictObject({
    kind: z.literal("span.take"),
    ...step,
    engine: Name,
    interface: Name,
    device: z.string(),
  }),
  z.strictObject({
    kind: z.literal("span.release"),
    ...step,
    engine: Name,
    interface: Name,
    device: z.string(),
  }),
  z.strictObject({
    kind: z.literal("volume.create"),
    ...step,
    instrument: Name,
    id: Name,
    volume: z.enum(["persistent", "transient"]),
    sizeBytes: z.int(),
    slices: SliceSpec.optional(),
  }),
  z.strictObject({
    kind: z.literal("volume.grow"),
    ...step,
    instrument: Name,
    id: Name,
    sizeBytes: z.int(),
  }),
  z.strictObject({ kind: z.literal("volume.detach"), ...step, instrument: Name, id: Name }),
  z.strictObject({ kind: z.literal("volume.remove"), ...step, instrument: Name, id: Name }),
  /** Makes the slice unless it is there, and opens it. */
  z.strictObject({
    kind: z.literal("slice.open"),
    ...step,
    instrument: Name,
    id: Name,
    slice: SliceName,
  }),
  z.strictObject({
    kind: z.literal("slice.destroy"),
    ...step,
    instrument: Name,
    id: Name,
    slice: SliceName,
  }),
  z.strictObject({
    kind: z.literal("inbox.put"),
    ...step,
    instrument: Name,
    version: z.string(),
    files: z.array(SiteFile),
  }),
  z.strictObject({
    kind: z.literal("inbox.remove"),
    ...step,
    instrument: Name,
  }),
  z.strictObject({ kind: z.literal("resources.remove"), ...step, instrument: Name }),
  z.strictObject({
    kind: z.literal("instrument.create"),
    ...step,
    instrument: Name,
    spec: InstrumentSpec,
    specDigest: z.string(),
  }),
  z.strictObject({ kind: z.literal("instrument.remove"), ...step, instrument: Name }),
  z.strictObject({ kind: z.literal("instrument.start"), ...step, instrument: Name }),
  z.strictObject({ kind: z.literal("instrument.stop"), ...step, instrument: Name }),
  z.strictObject({ kind: z.literal("wire.connect"), ...step, instrument: Name, engine: Name }),
  z.strictObject({ kind: z.literal("wire.disconnect"), ...step, instrument: Name, engine: Name }),
  z.strictObject({
    kind: z.literal("mirror.set"),
    ...step,
    instrument: Name,
    engine: Name,
    /** Key of the span interface in the site; its name in the engine's namespace. */
    interface: Name,
    filter: z.string(),
  }),
  z.strictObject({ kind: z.literal("mirror.remove"), ...step, instrument: Name, engine: Name }),
  z.strictObject({
    kind: z.literal("segment.create"),
    ...step,
    segment: Name,
    device: z.string(),
    vlan: z.int().nullable(),
  }),
  z.strictObject({ kind: z.literal("segment.remove"), ...step, segment: Name }),
  z.strictObject({
    kind: z.literal("port.connect"),
    ...step,
    instrument: Name,
    segment: Name,
    address: Addressing,
    listen: z.array(ListenPort),
    egress: z.array(Destination),
    /** What a lease's address must lie in; empty: any. */
    networks: z.array(IpNetwork),
    /** Digest of address, listen, egress and networks. */
    policy: z.string(),
  }),
  z.strictObject({ kind: z.literal("port.disconnect"), ...step, instrument: Name }),
  z.strictObject({
    kind: z.literal("nic.give"),
    ...step,
    instrument: Name,
    device: z.string(),
    address: Addressing.nullable(),
    /** Digest of the address. */
    policy: z.string(),
  }),
  z.strictObject({ kind: z.literal("nic.return"), ...step, instrument: Name }),
  z.strictObject({
    kind: z.literal("egress.open"),
    ...step,
    interface: Name,
    device: z.string(),
    vlan: z.int().nullable(),
    address: Addressing,
    dns: z.array(z.string()),
    private: z.array(z.string()),
    ports: z.array(z.int()),
    /** Digest of all these. */
    setup: z.string(),
  }),
  z.strictObject({
    kind: z.literal("egress.permit"),
    ...step,
    policy: EgressPolicy,
    policyDigest: z.string(),
  }),
  z.strictObject({ kind: z.literal("egress.close"), ...step }),
]);
export type Step = z.infer<typeof Step>;
export type StepKind = Step["kind"];

/** One need of one instrument and what became of it. */
export const NeedStatus = z.strictObject({
  instrument: Name,
  need: Name,
  kind: z.string(),
  what: z.string(),
  /** Where in the site it is granted: `site.yaml:12`; null where it is not. */
  by: z.string().nullable(),
});
export type NeedStatus = z.infer<typeof NeedStatus>;

/** One path that mirrored traffic or personal data can take to a sink, or to people. */
export const FlowPath = z.strictObject({
  from: Name,
  to: z.string(),
  path: z.array(z.string()),
  /** `named`: the site's `flows` allows it; `shown`: people at a UI; `refused`: a fault says so. */
  verdict: z.enum(["named", "shown", "refused"]),
  why: z.string(),
});
export type FlowPath = z.infer<typeof FlowPath>;

export const Plan = z.strictObject({
  faults: z.array(Fault),
  asked: z.array(NeedStatus),
  granted: z.array(NeedStatus),
  /** Wider requests of a newer version, and what waits for a device that is absent. */
  pending: z.array(z.strictObject({ instrument: Name, what: z.string() })),
  missing: z.array(NeedStatus),
  /** Grants that no manifest asked for. */
  unused: z.array(z.string()),
  flows: z.array(FlowPath),
  steps: z.array(Step),
  /** Files beside the site that its config names, and that apply therefore takes along. */
  files: z.array(z.string()),
});
export type Plan = z.infer<typeof Plan>;
