/**
 * What a canary may be made without.
 *
 * Invariants: an instrument is made with every layer; a set that is not empty comes from canaries.ts alone, and a
 * canary is never without what keeps its image's code from the host (ids, namespaces of mounts and processes, devices).
 */
import type { ContainmentLayer } from "@bulkhead/schema";

/** Nothing is left out. */
export const EVERY_LAYER: ReadonlySet<ContainmentLayer> = new Set();
