/** The catalogue of attempts, in the order in which they are made. */
import type { Attempt } from "../attempt.ts";
import { BUS } from "./bus.ts";
import { FILES_AND_DEVICES } from "./files-and-devices.ts";
import { HOST_PATH_ATTEMPTS } from "./host-paths.ts";
import { IDENTITY } from "./identity.ts";
import { KERNEL_CALLS } from "./kernel-calls.ts";
import { NAMESPACES_AND_MOUNTS } from "./namespaces-and-mounts.ts";
import { NETWORK } from "./network.ts";
import { RESOURCES } from "./resources.ts";
import { TAP } from "./tap.ts";

export const ATTEMPTS: readonly Attempt[] = [
  ...NETWORK,
  ...TAP,
  ...BUS,
  ...NAMESPACES_AND_MOUNTS,
  ...KERNEL_CALLS,
  ...HOST_PATH_ATTEMPTS,
  ...FILES_AND_DEVICES,
  ...IDENTITY,
  // Last: what is left of them must not be taken for a refusal.
  ...RESOURCES,
];
