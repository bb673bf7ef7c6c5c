/**
 * Observed: what warden found on the host, complete enough to plan from. Nothing in it comes from
 * inside a container.
 */
import * as z from "zod";
import { Name } from "./name.ts";

export const ObservedInstrument = z.strictObject({
  name: Name,
  /** sha256 of the spec that the container was made from; null where it carries none of ours. */
  specDigest: z.string().nullable(),
  state: z.enum(["running", "stopped", "frozen", "error"]),
  /** Host pid of the container's init; null unless running. */
  pid: z.int().nullable(),
  /** Where the running container differs from the profile, in plain words; empty is contained. */
  deviations: z.array(z.string()),
});
export type ObservedInstrument = z.infer<typeof ObservedInstrument>;

export const ObservedSpan = z.strictObject({
  engine: Name,
  interface: Name,
  device: z.string(),
  state: z.enum(["guarded", "unguarded", "absent"]),
});

export const ObservedTap = z.strictObject({
  instrument: Name,
  engine: Name,
  /** connected: both ends up and guarded; broken: something is missing; none: no wire. */
  wire: z.enum(["connected", "broken", "none"]),
  /** The expression whose bytecode the kernel runs; null where there is no intact mirror. */
  filter: z.string().nullable(),
});
export type ObservedTap = z.infer<typeof ObservedTap>;

export const ObservedVolume = z.strictObject({
  instrument: Name,
  id: Name,
  kind: z.enum(["persistent", "transient"]),
  sizeBytes: z.int(),
  mounted: z.boolean(),
});

export const Observed = z.strictObject({
  /** Network devices in the host's own namespace. */
  devices: z.array(z.string()),
  /** Devices that other installations of this host hold. */
  claimedDevices: z.array(z.strictObject({ device: z.string(), installation: z.string() })),
  images: z.array(z.string()),
  engines: z.array(Name),
  spans: z.array(ObservedSpan),
  taps: z.array(ObservedTap),
  volumes: z.array(ObservedVolume),
  instruments: z.array(ObservedInstrument),
  inboxes: z.array(z.strictObject({ instrument: Name, version: z.string() })),
});
export type Observed = z.infer<typeof Observed>;

/** A host on which nothing of ours was found, or which nobody has looked at yet. */
export const NOTHING_OBSERVED: Observed = {
  devices: [],
  claimedDevices: [],
  images: [],
  engines: [],
  spans: [],
  taps: [],
  volumes: [],
  instruments: [],
  inboxes: [],
};
