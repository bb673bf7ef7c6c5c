/**
 * Information-flow check: what mirrored traffic or personal data can reach (design section 4).
 *
 * Sources are instruments with a tap and instruments that emit personal data. Edges: an events
 * grant, a resources grant, a message and a reply that holds data, a UI, events to the fleet. Sinks: a network interface, the egress
 * proxy, the fleet. People at a UI are shown, not refused. A path is allowed when `flows` names
 * its last hop: the instrument that hands data to the sink, and the sink.
 */
import type { Fault, FlowPath, Site } from "@bulkhead/schema";
import type { LocatedDocument } from "./located-document.ts";
import { findAccept } from "./message-routes.ts";
import type { ResolvedInstrument } from "./resolve.ts";

const FLEET = "fleet";

interface Edge {
  readonly from: string;
  readonly to: string;
  readonly kind: "instrument" | "sink" | "people";
}

export interface FlowReport {
  readonly paths: readonly FlowPath[];
  readonly faults: readonly Fault[];
  readonly unused: readonly string[];
}

export function checkFlows(
  site: Site,
  document: LocatedDocument,
  instruments: readonly ResolvedInstrument[],
): FlowReport {
  const edges = edgesOf(site, instruments);
  const used = new Set<number>();
  const paths = instruments.flatMap((instrument) => {
    const holds = whatItHolds(instrument);
    if (holds === null) return [];
    return pathsFrom(instrument.name, edges).map(({ nodes, edge }): FlowPath => {
      const path = [holds, ...nodes];
      if (edge.kind === "people") {
        return {
          from: instrument.name,
          to: edge.to,
          path,
          verdict: "shown",
          why: "people whom the site lets see it",
        };
      }
      const named = site.flows.findIndex((flow) => flow.from === edge.from && flow.to === edge.to);
      if (named >= 0) used.add(named);
      const why = site.flows[named]?.why ?? `flows does not name ${edge.from} to ${edge.to}`;
      return {
        from: instrument.name,
        to: edge.to,
        path,
        verdict: named < 0 ? "refused" : "named",
        why,
      };
    });
  });

  const faults = paths
    .filter((path) => path.verdict === "refused")
    .map((path) => {
      const last = path.path.at(-2) ?? path.from;
      return document.fault(
        causeOf(site, last, path.to),
        "flow-refused",
        `${path.path.join(" → ")} is a way out that the site does not name`,
        `an entry in flows: { from: ${last}, to: ${path.to}, why: … }, or no such grant`,
      );
    });
  const unused = site.flows.flatMap((flow, index) =>
    used.has(index)
      ? []
      : [`flow ${flow.from} to ${flow.to} (${document.file}:${document.locate(["flows", index]).line})`],
  );
  return { paths, faults, unused };
}

function whatItHolds({ site, package: { manifest } }: ResolvedInstrument): string | null {
  if (site.tap !== undefined) return `traffic of ${site.tap.from}`;
  const personal = manifest.needs.some(
    (need) => need.kind === "event.emit" && need.class === "personal-data",
  );
  return personal ? "personal data" : null;
}

function edgesOf(site: Site, instruments: readonly ResolvedInstrument[]): readonly Edge[] {
  const edges: Edge[] = [
    ...site.grants.events.map(({ from, to }): Edge => ({ from, to, kind: "instrument" })),
    ...site.grants.resources.map(({ from, to }): Edge => ({ from, to, kind: "instrument" })),
    ...site.grants.messages.flatMap(({ from, to, verb }): readonly Edge[] => [
      { from, to, kind: "instrument" },
      // A reply that holds something is data of the recipient's; one of its outcome alone is not.
      ...(repliesWithData(instruments, to, verb)
        ? [{ from: to, to: from, kind: "instrument" } as const]
        : []),
    ]),
  ];
  for (const { name, site: entry } of instruments) {
    if ((site.fleet.events[name]?.length ?? 0) > 0) edges.push({ from: name, to: FLEET, kind: "sink" });
    if (entry.bridge !== undefined) edges.push({ from: name, to: entry.bridge.on, kind: "sink" });
    if (entry.dedicated !== undefined) edges.push({ from: name, to: entry.dedicated.device, kind: "sink" });
    if (entry.egress !== undefined) edges.push({ from: name, to: entry.egress.through, kind: "sink" });
    const ui = site.fleet.ui[name];
    if (ui !== undefined && ui !== "deny")
      edges.push({ from: name, to: `people (${ui.roles.join(", ")})`, kind: "people" });
  }
  return edges;
}

function repliesWithData(instruments: readonly ResolvedInstrument[], name: string, verb: string): boolean {
  const recipient = instruments.find((instrument) => instrument.name === name);
  return findAccept(recipient?.package.manifest.needs ?? [], verb)?.reply !== undefined;
}

/** The shortest path to each edge into a sink or to people, breadth first. */
function pathsFrom(
  start: string,
  edges: readonly Edge[],
): readonly { readonly nodes: readonly string[]; readonly edge: Edge }[] {
  const reached = new Map<string, readonly string[]>([[start, [start]]]);
  const queue = [start];
  const found: { nodes: readonly string[]; edge: Edge }[] = [];
  for (let name = queue.shift(); name !== undefined; name = queue.shift()) {
    const path = reached.get(name) ?? [];
    for (const edge of edges.filter((e) => e.from === name)) {
      if (edge.kind !== "instrument") found.push({ nodes: [...path, edge.to], edge });
      else if (!reached.has(edge.to)) {
        reached.set(edge.to, [...path, edge.to]);
        queue.push(edge.to);
      }
    }
  }
  return found;
}

/** The line that opens the last hop. */
function causeOf(site: Site, last: string, sink: string): readonly string[] {
  if (sink === FLEET) return ["fleet", "events", last];
  const entry = site.instruments[last];
  if (entry?.bridge?.on === sink) return ["instruments", last, "bridge"];
  return entry?.egress?.through === sink
    ? ["instruments", last, "egress"]
    : ["instruments", last, "dedicated"];
}
