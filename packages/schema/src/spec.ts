/**
 * Instrument spec: everything that warden needs to make one instrument's container, decided by
 * the core from site, manifest and catalogue. Its digest stands in the container's config, so a
 * changed spec is a changed container.
 */
import * as z from "zod";
import { Name } from "./name.ts";

/** How a volume is cut; each slice is destroyed when all that it is for is older than the period. */
export const SliceSpec = z.strictObject({ lengthMs: z.int().positive(), periodMs: z.int().positive() });
export type SliceSpec = z.infer<typeof SliceSpec>;

export const VolumeSpec = z.strictObject({
  id: Name,
  kind: z.enum(["persistent", "transient"]),
  sizeBytes: z.int().positive(),
  slices: SliceSpec.optional(),
});
export type VolumeSpec = z.infer<typeof VolumeSpec>;

export const InstrumentNetwork = z.discriminatedUnion("kind", [
  z.strictObject({ kind: z.literal("none") }),
  /** A receive-only wire, moved in as `mon0` after the start. */
  z.strictObject({ kind: z.literal("mirror") }),
  /** The container joins the capture engine's namespace, which belongs to warden. */
  z.strictObject({ kind: z.literal("engine") }),
  /** It joins a namespace of warden's that has a port on a segment; which, and its rules, change live. */
  z.strictObject({ kind: z.literal("port") }),
  /** It joins a namespace of warden's into which a device of the host was moved. */
  z.strictObject({ kind: z.literal("nic") }),
]);
export type InstrumentNetwork = z.infer<typeof InstrumentNetwork>;

export const InstrumentSpec = z.strictObject({
  name: Name,
  package: Name,
  version: z.string(),
  imageDigest: z.string().regex(/^[0-9a-f]{64}$/),
  command: z.array(z.string()).min(1),
  capabilities: z.array(z.literal("NET_RAW")),
  memoryBytes: z.int().positive(),
  cpu: z.number().positive(),
  processes: z.int().positive(),
  /** Mounted at /data/<id>. */
  volumes: z.array(VolumeSpec),
  /** bus.sock is always there; ui.sock where a UI was granted. */
  ui: z.boolean(),
  /** egress.sock, by a directory of its own: the proxy makes the socket. */
  egress: z.boolean(),
  /** What other instruments publish for it, read-only at /resources. */
  resources: z.boolean(),
  network: InstrumentNetwork,
});
export type InstrumentSpec = z.infer<typeof InstrumentSpec>;
