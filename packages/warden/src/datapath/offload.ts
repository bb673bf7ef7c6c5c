/**
 * Offloads that change frames: receive offloads of a span join frames into larger ones, transmit offloads of a wire
 * let joined frames and unfinished checksums through.
 *
 * Invariants: what cannot be turned off is an error, not a warning: copies would not be what was on the network.
 */
import { WardenError } from "../error.ts";
import type { NetworkNamespace } from "./namespace.ts";

/**
 * GRO and LRO off, also where the NIC does it.
 *
 * @returns what GRO was before.
 * @throws WardenError `datapath-offload-stuck`
 */
export async function turnOffReceiveOffloads(
  namespace: NetworkNamespace,
  device: string,
  mode: "apply" | "observe-only" = "apply",
): Promise<"on" | "off"> {
  const before = await observeFeatures(namespace, device);
  const gro = before.get("generic-receive-offload") === true ? "on" : "off";
  if (mode === "observe-only") return gro;
  await turnOff(namespace, device, before, receiveOffloads);
  return gro;
}

/** Gives GRO back as it was. */
export async function restoreGro(
  namespace: NetworkNamespace,
  device: string,
  gro: "on" | "off",
): Promise<void> {
  await namespace.run(["ethtool", "-K", device, "gro", gro]);
}

/**
 * Segmentation and checksumming are done before a frame enters the wire.
 *
 * @throws WardenError `datapath-offload-stuck`
 */
export async function turnOffTransmitOffloads(namespace: NetworkNamespace, device: string): Promise<void> {
  await turnOff(namespace, device, await observeFeatures(namespace, device), transmitOffloads);
}

/** ethtool's long name and the word that sets it. */
const receiveOffloads = [
  ["generic-receive-offload", "gro"],
  ["large-receive-offload", "lro"],
  ["rx-gro-hw", "rx-gro-hw"],
  ["rx-gro-list", "rx-gro-list"],
] as const;

const transmitOffloads = [
  ["tcp-segmentation-offload", "tso"],
  ["generic-segmentation-offload", "gso"],
  ["tx-checksumming", "tx"],
] as const;

async function turnOff(
  namespace: NetworkNamespace,
  device: string,
  before: ReadonlyMap<string, boolean>,
  offloads: readonly (readonly [string, string])[],
): Promise<void> {
  const on = offloads.filter(([feature]) => before.get(feature) === true);
  if (on.length === 0) return;
  await namespace.run(["ethtool", "-K", device, ...on.flatMap(([, word]) => [word, "off"])]);
  const after = await observeFeatures(namespace, device);
  const stuck = offloads.filter(([feature]) => after.get(feature) === true).map(([feature]) => feature);
  if (stuck.length === 0) return;
  throw new WardenError("datapath-offload-stuck", `${device}: ${stuck.join(", ")} cannot be turned off`, {
    fields: { device, features: stuck.join(" ") },
  });
}

/** `feature: on|off [fixed]` a line. */
async function observeFeatures(
  namespace: NetworkNamespace,
  device: string,
): Promise<ReadonlyMap<string, boolean>> {
  const { stdout } = await namespace.run(["ethtool", "-k", device]);
  const lines = stdout.matchAll(/^\s*(?<feature>[\w-]+): (?<value>on|off)\b/gm);
  return new Map(
    Array.from(lines, ({ groups }) => [groups?.["feature"] ?? "", groups?.["value"] === "on"] as const),
  );
}
