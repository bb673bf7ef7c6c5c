/**
 * Observed: what warden found on the host, complete enough to plan from. Nothing in it comes from
 * inside a container.
 */
import * as z from "zod";
import { Name } from "./name.ts";
import { SliceName } from "./slice.ts";

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

/** A slice of a volume. `kept`: there is a record of its key; without one nothing in it can be read again. */
export const ObservedSlice = z.strictObject({
  slice: SliceName,
  kept: z.boolean(),
  /** What the kernel says of its key; `held`: removed, with files still open under it. */
  key: z.enum(["present", "absent", "held"]),
});
export type ObservedSlice = z.infer<typeof ObservedSlice>;

export const ObservedVolume = z.strictObject({
  instrument: Name,
  id: Name,
  kind: z.enum(["persistent", "transient"]),
  sizeBytes: z.int(),
  mounted: z.boolean(),
  /** Of a volume that is cut in slices, the oldest first. While it is not mounted: those whose keys are kept. */
  slices: z.array(ObservedSlice).optional(),
});

/** Why a device that is to get its address by DHCP has none; null where it has one, or is given one by the site. */
const NoLease = z.string().nullable();

/** A segment's bridge. `waiting`: all is there but its device, or the VLAN device that the kernel cannot make. */
export const ObservedSegment = z.strictObject({
  segment: Name,
  device: z.string(),
  vlan: z.int().nullable(),
  state: z.enum(["ready", "incomplete", "waiting"]),
});
export type ObservedSegment = z.infer<typeof ObservedSegment>;

/** An instrument's namespace with a port on a segment. */
export const ObservedPort = z.strictObject({
  instrument: Name,
  /** Null where the port itself is gone. */
  segment: Name.nullable(),
  /** connected: wire, addresses and both layers of rules are whole. */
  state: z.enum(["connected", "broken"]),
  /** Digest of what it was made from; null where it is not known. */
  policy: z.string().nullable(),
  /** What is set on the device, with prefix lengths. */
  addresses: z.array(z.string()),
  noLease: NoLease,
});
export type ObservedPort = z.infer<typeof ObservedPort>;

/** An instrument's namespace for a device of its own. `waiting`: the device is not there. */
export const ObservedNic = z.strictObject({
  instrument: Name,
  /** Its name on the host; null while there is none. */
  device: z.string().nullable(),
  state: z.enum(["given", "broken", "waiting"]),
  policy: z.string().nullable(),
  addresses: z.array(z.string()),
  noLease: NoLease,
});
export type ObservedNic = z.infer<typeof ObservedNic>;

/** The egress interface's namespace, and what the proxy in it was told. */
export const ObservedEgress = z.strictObject({
  interface: Name,
  /** The device in it, by its name on the host; null where it is gone. */
  device: z.string().nullable(),
  /** open: device, addresses and rules are whole. */
  state: z.enum(["open", "broken"]),
  /** Digest of the setup that it was made from; null where it is not known. */
  setup: z.string().nullable(),
  /** Digest of the policy that the proxy reads; null for none. */
  policy: z.string().nullable(),
  /** Whether the proxy is kept running. */
  process: z.boolean(),
  /** What is set on the device, with prefix lengths. */
  addresses: z.array(z.string()),
  noLease: NoLease,
});
export type ObservedEgress = z.infer<typeof ObservedEgress>;

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
  /** Instruments that have a directory for what others publish for them. */
  resourceDirs: z.array(Name),
  segments: z.array(ObservedSegment),
  ports: z.array(ObservedPort),
  nics: z.array(ObservedNic),
  egress: ObservedEgress.nullable(),
  /** Whether the kernel can make VLAN devices. */
  vlanDevices: z.boolean(),
  /** Layers of protection that this host lacks, in plain words: they are named, and never counted as passed. */
  absent: z.array(z.string()),
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
  resourceDirs: [],
  segments: [],
  ports: [],
  nics: [],
  egress: null,
  vlanDevices: false,
  absent: [],
};
