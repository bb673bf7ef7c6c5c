/** The catalogue of attempts, in the order in which they are made. */
import type { Attempt } from "../attempt.ts";
import { BUS } from "./bus.ts";
import { BUS_FLOODS } from "./bus-floods.ts";
import { DELIVERIES } from "./deliveries.ts";
import { EGRESS } from "./egress.ts";
import { FILES_AND_DEVICES } from "./files-and-devices.ts";
import { HOST_PATH_ATTEMPTS } from "./host-paths.ts";
import { IDENTITY } from "./identity.ts";
import { JOINED, RULES_REMOVED } from "./joined.ts";
import { KERNEL_CALLS } from "./kernel-calls.ts";
import { LINKS } from "./links.ts";
import { NAMESPACES_AND_MOUNTS } from "./namespaces-and-mounts.ts";
import { NETWORK } from "./network.ts";
import { RESOURCES } from "./resources.ts";
import { SEGMENT } from "./segment.ts";
import { SOCKET_RESOURCES } from "./socket-resources.ts";
import { TAP } from "./tap.ts";
import { VOLUMES } from "./volumes.ts";

export const ATTEMPTS: readonly Attempt[] = [
  ...NETWORK,
  ...TAP,
  ...SEGMENT,
  ...JOINED,
  // What is still to be tried must be tried with them.
  ...RULES_REMOVED,
  ...EGRESS,
  ...BUS,
  ...DELIVERIES,
  ...NAMESPACES_AND_MOUNTS,
  ...KERNEL_CALLS,
  ...HOST_PATH_ATTEMPTS,
  ...LINKS,
  ...FILES_AND_DEVICES,
  ...IDENTITY,
  ...VOLUMES,
  // Last: what is left of them must not be taken for a refusal.
  ...BUS_FLOODS,
  ...SOCKET_RESOURCES,
  ...RESOURCES,
];
