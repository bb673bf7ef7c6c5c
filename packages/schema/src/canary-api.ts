/**
 * What root can ask of warden for a proof: a canary of an instrument, an adversary in it, and its end.
 *
 * Invariants: one canary at a time; layers can be left out of a canary alone, and none of kind `host`.
 */
import * as z from "zod";
import { CONTAINMENT_LAYERS, ContainmentLayer } from "./containment-layer.ts";
import { Name } from "./name.ts";
import { ObservedInstrument } from "./observed.ts";
import { InstrumentSpec } from "./spec.ts";

export const CanaryOrder = z.strictObject({
  /** The instrument whose twin is made. */
  instrument: Name,
  without: z.array(
    ContainmentLayer.refine((layer) => CONTAINMENT_LAYERS[layer].kind !== "host", {
      message: "no container is made without it; layers of the profile and of the stand are accepted",
    }),
  ),
});
export type CanaryOrder = z.infer<typeof CanaryOrder>;

export const CanaryReply = z.strictObject({
  /** Host pid of the canary's first process. */
  pid: z.int(),
  idmapBase: z.int(),
  /** What it was made from: the instrument's own spec but for name, command and sizes of volumes. */
  spec: InstrumentSpec,
  /** The namespace that stands in for the host's and other networks. */
  standNetns: z.string(),
  /** Where the canary is not the instrument's twin, beyond what has to differ. Empty where layers are left out. */
  differences: z.array(z.string()),
  /** Files that the runtime would write into its root file system by the image's word. */
  templates: z.array(z.string()),
  /** Where the kernel's word differs from the whole profile; shows that a layer is really off. */
  deviations: z.array(z.string()),
});
export type CanaryReply = z.infer<typeof CanaryReply>;

/** Runs the adversary until it ends: as the instrument's user, or as the container's root. */
export const AttackOrder = z.strictObject({ as: z.enum(["user", "root"]) });
export type AttackOrder = z.infer<typeof AttackOrder>;

/** Every instrument, read back now. */
export const ReadBackReply = z.strictObject({ instruments: z.array(ObservedInstrument) });
