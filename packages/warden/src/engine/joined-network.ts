/**
 * Which instruments join a network namespace that warden made, in place of one of their own: nobody in their container
 * holds a capability over it, and it outlives the container.
 */
import type { InstrumentNetwork } from "@bulkhead/schema";

export function isJoined({ kind }: InstrumentNetwork): boolean {
  return kind === "engine" || kind === "port" || kind === "nic";
}
