/**
 * What a tap's wires counted: frames that could not be put onto them, and frames that the instrument tried to send.
 *
 * Invariants: a wire's alias holds what is added to its own counts, so that a tap's counts neither fall when its wire
 * is made anew nor begin before its mirror does.
 */
import { observeLink } from "./namespace.ts";
import type { Link, NetworkNamespace } from "./namespace.ts";
import { parseWireTag, renderWireTag, wireDeviceName } from "./naming.ts";
import type { TapId } from "./naming.ts";
import { observeClsact } from "./traffic-control.ts";

/** Counts of a tap's wires, former ones included. */
export interface CarriedCounts {
  /** Frames that the wire refused: larger than its MTU, or the receiving CPU's backlog was full. */
  readonly dropped: number;
  /** Frames from the instrument that a guard dropped. */
  readonly guarded: number;
}

export interface WireCounts extends CarriedCounts, TapId {}

/** Wires' own drops: frames that the kernel could not put onto them, and frames that instruments tried to send. */
export async function observeWireCounts(
  namespace: NetworkNamespace,
  slug: string,
  links: readonly Link[],
): Promise<readonly WireCounts[]> {
  const hooks = await observeClsact(namespace);
  const counts: WireCounts[] = [];
  for (const link of links) {
    const tag = parseWireTag(slug, link.ifalias);
    if (tag === null) continue;
    const clsact = hooks.find(({ device }) => device === link.ifname)?.drops ?? 0;
    // XDP has dropped nothing where nothing came: a veth counts what reaches its program as received
    // (veth_get_stats64 in drivers/net/veth.c).
    const statistics = link.stats64.rx.packets === 0 ? "" : await observeStatistics(namespace, link.ifname);
    if (statistics === null) continue;
    counts.push({
      engine: tag.engine,
      instrument: tag.instrument,
      dropped: tag.dropped + link.stats64.tx.dropped,
      guarded: tag.guarded + clsact + sumXdpDrops(statistics),
    });
  }
  return counts;
}

/** The tap begins anew: what its present wire has counted so far is no longer its own. */
export async function resetWireCounts(namespace: NetworkNamespace, slug: string, tap: TapId): Promise<void> {
  const link = await observeLink(namespace, wireDeviceName(slug, tap));
  const tag = parseWireTag(slug, link?.ifalias);
  if (link === undefined || tag === null) return;
  const [counts] = await observeWireCounts(namespace, slug, [link]);
  if (counts === undefined) return;
  const alias = renderWireTag({
    ...tag,
    dropped: tag.dropped - counts.dropped,
    guarded: tag.guarded - counts.guarded,
  });
  await namespace.run(["ip", "link", "set", "dev", link.ifname, "alias", alias]);
}

/** Null if the wire went away since it was listed, as it does with its instrument. */
async function observeStatistics(namespace: NetworkNamespace, name: string): Promise<string | null> {
  try {
    return (await namespace.run(["ethtool", "-S", name])).stdout;
  } catch (error) {
    if (await observeLink(namespace, name)) throw error;
    return null;
  }
}

/** `rx_queue_N_xdp_drops: COUNT`, one a receive queue. */
function sumXdpDrops(statistics: string): number {
  let sum = 0;
  for (const { groups } of statistics.matchAll(/^\s*rx_queue_\d+_xdp_drops: (?<count>\d+)$/gm)) {
    sum += Number(groups?.["count"]);
  }
  return sum;
}
