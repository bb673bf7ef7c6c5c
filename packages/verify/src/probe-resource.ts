/** Probe resource: what a canary may publish beside what its instrument declares, so that there is a desk to get past. */
import type { Need } from "@bulkhead/schema";

export const PROBE_TYPE = "verify.probe";
export const PROBE_BYTES = 1024;
export const PROBE: Need = {
  id: "verify",
  kind: "resource.publish",
  type: PROBE_TYPE,
  size: PROBE_BYTES,
};
