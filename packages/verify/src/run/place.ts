/** Where a canary's adversary runs, for its witnesses. */
import type { CanaryReply } from "@bulkhead/schema";
import type { Place } from "./witness.ts";

export function placeOf({ pid, spec }: CanaryReply): Place {
  const { memoryBytes, processes, cpu } = spec;
  return { pid, host: false, memoryBytes, processes, cpu };
}
