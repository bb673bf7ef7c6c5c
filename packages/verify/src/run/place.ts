/** Where an adversary runs, for its witnesses, and what a witness is asked by. */
import type { CanaryReply } from "@bulkhead/schema";

export interface Place {
  /** The canary's first process, or the adversary itself on the host. */
  readonly pid: number;
  readonly host: boolean;
  /** First of the ids that the container's ids are on the host. */
  readonly idmapBase: number;
  readonly memoryBytes: number;
  readonly processes: number;
  readonly cpu: number;
}

/** What is seen while the adversary holds what it got, in words; null where nothing is. */
export type Look = () => Promise<string | null>;

export function placeOf({ pid, spec, idmapBase }: CanaryReply): Place {
  const { memoryBytes, processes, cpu } = spec;
  return { pid, host: false, idmapBase, memoryBytes, processes, cpu };
}
