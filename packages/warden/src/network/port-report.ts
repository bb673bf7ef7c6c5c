/**
 * What passed a port and what was refused, from the counters of both layers of rules. Reads only; nothing of it comes
 * from inside the container.
 */
import type { PortReport } from "@bulkhead/schema";
import type { Commands } from "../commands.ts";
import { nameState } from "../datapath/named-namespaces.ts";
import { instrumentTable } from "./instrument-rules.ts";
import { joinedNamespace } from "./joined-namespace.ts";
import { joinedNamespaceName, portDeviceName, segmentNamespaceName } from "./network-names.ts";
import { type RuleCount, tableCounts } from "./ruleset.ts";
import { segmentNamespace } from "./segment.ts";

/** The newest refusals that are told. */
const REFUSALS = 20;

export async function reportPort(
  commands: Commands,
  slug: string,
  instrument: string,
  segment: string,
): Promise<PortReport> {
  const device = portDeviceName(slug, instrument);
  const outer =
    (await nameState(segmentNamespaceName(slug, segment))) === "namespace"
      ? await tableCounts(segmentNamespace(commands, slug, segment), { family: "netdev", name: device })
      : NOTHING;
  const inner =
    (await nameState(joinedNamespaceName(slug, instrument))) === "namespace"
      ? await tableCounts(joinedNamespace(commands, slug, instrument), {
          family: "inet",
          name: instrumentTable,
        })
      : NOTHING;
  // What passes is counted at the segment; what the inner layer refused never came there, and the other way round.
  const counts = [
    ...outer.rules.map((rule) => countOf(rule, rule.chain === "from_instrument" ? "out" : "in")),
    ...inner.rules
      .filter(({ comment }) => comment.startsWith("refused"))
      .map((rule) => countOf(rule, rule.chain === "output" ? "out" : "in")),
  ];
  const refused = [...outer.refused, ...inner.refused].toSorted((a, b) => a.agoS - b.agoS);
  return { instrument, counts: summed(counts), refused: refused.slice(0, REFUSALS) };
}

const NOTHING: Awaited<ReturnType<typeof tableCounts>> = { rules: [], refused: [] };

type Count = PortReport["counts"][number];

function countOf({ comment, packets, bytes }: RuleCount, direction: Count["direction"]): Count {
  return { direction, rule: comment, packets, bytes };
}

function summed(counts: readonly Count[]): Count[] {
  const sums = new Map<string, Count>();
  for (const count of counts) {
    const key = `${count.direction} ${count.rule}`;
    const { packets = 0, bytes = 0 } = sums.get(key) ?? {};
    sums.set(key, { ...count, packets: packets + count.packets, bytes: bytes + count.bytes });
  }
  return [...sums.values()];
}
