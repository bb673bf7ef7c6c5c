/**
 * The guards on the engine's end of a wire: nothing that an instrument sends comes out of it.
 *
 * Invariants: two layers, XDP (before anything else sees the frame, also one that was redirected past tc) and a clsact
 * ingress drop; both are on before the wire is up; both belong to a namespace in which the instrument has no rights.
 */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Link, NetworkNamespace } from "./namespace.ts";
import type { Filter } from "./traffic-control.ts";
import { dropBytecode, observeClsact, observeFilters } from "./traffic-control.ts";
import { xdpDropObject, xdpDropProgram, xdpDropSection } from "./xdp-drop.ts";

/** Which of the two layers are on. */
export interface WireGuards {
  readonly xdp: boolean;
  readonly clsact: boolean;
}

/** Reads both layers; a hook that holds anything beside the drop is not a guard. */
export async function observeWireGuards(namespace: NetworkNamespace, wire: Link): Promise<WireGuards> {
  const xdp = wire.xdp?.mode === driverMode && wire.xdp.prog?.name === xdpDropProgram;
  const hooks = await observeClsact(namespace);
  if (!hooks.some(({ device }) => device === wire.ifname)) return { xdp, clsact: false };
  const ingress = await observeFilters(namespace, wire.ifname, "ingress");
  const egress = await observeFilters(namespace, wire.ifname, "egress");
  return { xdp, clsact: ingress.length === 1 && ingress.every(isDrop) && egress.length === 0 };
}

/** Puts on what is missing. The caller has taken the wire down if anything is. */
export async function ensureWireGuards(namespace: NetworkNamespace, wire: Link): Promise<void> {
  const guards = await observeWireGuards(namespace, wire);
  if (!guards.xdp) await attachXdp(namespace, wire);
  if (guards.clsact) return;
  const hooks = await observeClsact(namespace);
  if (hooks.some(({ device }) => device === wire.ifname)) {
    await namespace.run(["tc", "qdisc", "del", "dev", wire.ifname, "clsact"]);
  }
  await namespace.run(["tc", "qdisc", "add", "dev", wire.ifname, "clsact"]);
  const place = ["dev", wire.ifname, "ingress", "protocol", "all", "prio", "1", "handle", "1"];
  await namespace.run(["tc", "filter", "add", ...place, "bpf", "da", "bytecode", dropBytecode]);
}

/** XDP_ATTACHED_DRV (include/uapi/linux/if_link.h). */
const driverMode = 1;

async function attachXdp(namespace: NetworkNamespace, wire: Link): Promise<void> {
  await using directory = await temporaryDirectory();
  const file = join(directory.path, "xdp-drop.o");
  await writeFile(file, xdpDropObject());
  // Another program, or ours in the generic mode, would be in the way.
  if (wire.xdp !== undefined) await namespace.run(["ip", "link", "set", "dev", wire.ifname, "xdp", "off"]);
  const program = ["obj", file, "sec", xdpDropSection];
  await namespace.run(["ip", "link", "set", "dev", wire.ifname, "xdpdrv", ...program]);
}

function isDrop(filter: Filter): boolean {
  return filter.priority === 1 && filter.directAction && filter.bytecode === dropBytecode;
}

async function temporaryDirectory(): Promise<AsyncDisposable & { readonly path: string }> {
  const path = await mkdtemp(join(tmpdir(), "bulkhead-xdp-"));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true }) };
}
