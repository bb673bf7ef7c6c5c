/** What a host without a site shall have, and one whose networks are taken down. */
import type { Desired } from "@bulkhead/core";

export const NO_NETWORK = { spans: [], taps: [], segments: [], ports: [], nics: [], egress: null };
export const NOTHING: Desired = { instruments: [], ...NO_NETWORK };
