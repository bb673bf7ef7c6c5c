/**
 * Network status: for each instrument what network it has, by which line of the site, and what was counted there.
 */
import type { InstrumentNetworkStatus, Observed, PortReport } from "@bulkhead/schema";
import { renderPlace } from "./needs.ts";
import type { CheckedSite } from "./plan.ts";
import type { ResolvedInstrument } from "./resolve.ts";

export function networkStatus(
  checked: CheckedSite,
  observed: Observed,
  reports: readonly PortReport[],
): readonly InstrumentNetworkStatus[] {
  return checked.instruments.map((instrument) => {
    const report = reports.find((r) => r.instrument === instrument.name);
    return {
      instrument: instrument.name,
      ...placeOf(instrument, checked, observed),
      allowed: allowedOf(instrument, checked, report),
      refusals: (report?.counts ?? []).flatMap(({ direction, rule, packets }) =>
        rule.startsWith(REFUSED) && packets > 0
          ? [{ direction, reason: rule.slice(REFUSED.length), packets }]
          : [],
      ),
      lastRefused: [...(report?.refused ?? [])],
    };
  });
}

/** What a rule that refuses is called. */
const REFUSED = "refused: ";

type Place = Pick<InstrumentNetworkStatus, "kind" | "on" | "device" | "state" | "addresses">;

function placeOf({ name, site }: ResolvedInstrument, checked: CheckedSite, observed: Observed): Place {
  const device = (key: string) => checked.site.interfaces[key]?.device ?? null;
  if (site.bridge !== undefined) {
    const port = observed.ports.find((p) => p.instrument === name);
    const segment = observed.segments.find((s) => s.segment === site.bridge?.on);
    const state = port?.state === "connected" && segment?.state !== "ready" ? "waiting" : port?.state;
    const { on } = site.bridge;
    return { kind: "port", on, device: device(on), state: state ?? "down", addresses: port?.addresses ?? [] };
  }
  if (site.dedicated !== undefined) {
    const nic = observed.nics.find((n) => n.instrument === name);
    const own = site.dedicated.device;
    const found = { state: nic?.state ?? "down", addresses: nic?.addresses ?? [] };
    return { kind: "nic", on: own, device: own, ...found };
  }
  if (site.source !== undefined) {
    const span = observed.spans.find((s) => s.engine === name && s.interface === site.source);
    const state = span?.state ?? "absent";
    return { kind: "engine", on: site.source, device: device(site.source), state, addresses: [] };
  }
  if (site.tap !== undefined) {
    const wire = observed.taps.find((t) => t.instrument === name)?.wire ?? "none";
    return { kind: "mirror", on: site.tap.from, device: null, state: wire, addresses: [] };
  }
  return { kind: "none", on: null, device: null, state: "no network", addresses: [] };
}

function allowedOf(
  { name, site }: ResolvedInstrument,
  { document }: CheckedSite,
  report: PortReport | undefined,
): InstrumentNetworkStatus["allowed"] {
  const at = ["instruments", name];
  const counted = (rule: string, direction: "in" | "out") =>
    report?.counts.find((c) => c.rule === rule && c.direction === direction)?.packets ?? 0;
  const line = (
    direction: "in" | "out",
    what: string,
    rule: string,
    path: readonly (string | number)[],
  ): InstrumentNetworkStatus["allowed"][number] => ({
    direction,
    what,
    by: renderPlace(document, path),
    packetsIn: counted(rule, "in"),
    packetsOut: counted(rule, "out"),
  });
  if (site.dedicated !== undefined) {
    const path = [...at, "dedicated"];
    return (["in", "out"] as const).map((d) => line(d, `all of ${site.dedicated?.device}`, "", path));
  }
  if (site.tap !== undefined) return [line("in", "copies of frames alone", "", [...at, "tap"])];
  const { bridge } = site;
  if (bridge === undefined) return [];
  return [
    ...bridge.listen.map((p, i) => line("in", p, `listen ${p}`, [...at, "bridge", "listen", i])),
    ...bridge.egress.map((d, i) => line("out", d, `egress ${d}`, [...at, "bridge", "egress", i])),
    ...(bridge.address === "dhcp"
      ? [line("out", "dhcp, by the platform's client", "dhcp", [...at, "bridge", "address"])]
      : []),
  ];
}
