/** The egress proxy as people read it: the interface, what is granted, and what happened. */
import { type EgressStatus, renderSize } from "@bulkhead/schema";
import type { EgressHappening } from "../commands/egress.ts";
import { tone } from "../output.ts";
import { renderTable } from "./table.ts";

export function renderEgress(
  { interface: outlet, permits }: EgressStatus,
  connections: readonly EgressHappening[],
  refusals: readonly EgressHappening[],
): string {
  if (outlet === null) return "No instrument is granted anything through an egress interface.";
  const state = tone(
    outlet.state === "open" ? "good" : outlet.state === "broken" ? "bad" : "warn",
    outlet.state,
  );
  const via = outlet.proxy === null ? `DNS ${outlet.dns.join(" ")}` : `proxy ${outlet.proxy}`;
  const rows = permits.flatMap((permit) =>
    permit.targets.map(({ target, by }) => [
      permit.instrument,
      target,
      renderSize(permit.sentBytes),
      renderSize(permit.receivedBytes),
      permit.connections,
      by,
    ]),
  );
  return [
    `${outlet.name} (${outlet.device}) ${state} ${outlet.addresses.join(" ")}  ${via}`,
    renderTable(["INSTRUMENT", "MAY REACH", "MAY SEND", "MAY RECEIVE", "CONNECTIONS", "BY"], rows),
    ...(connections.length === 0 ? [] : [renderConnections(connections)]),
    ...(refusals.length === 0 ? [] : [renderRefusals(refusals)]),
  ].join("\n\n");
}

function renderConnections(connections: readonly EgressHappening[]): string {
  return renderTable(
    ["CONNECTIONS", "INSTRUMENT", "TO", "ADDRESS", "", "SENT", "RECEIVED", "MS"],
    connections.map((c) => [
      c.time,
      c.instrument,
      `${c.host}:${c.port}`,
      c.address,
      c.reason ?? c.state,
      c.sentBytes,
      c.receivedBytes,
      c.durationMs,
    ]),
  );
}

function renderRefusals(refusals: readonly EgressHappening[]): string {
  return renderTable(
    ["REFUSED", "INSTRUMENT", "TO", "ADDRESS", "WHY"],
    refusals.map((r) => [
      r.time,
      r.instrument,
      `${r.host}:${r.port}`,
      r.address,
      tone(
        "warn",
        `${r.reason ?? ""}${r.unrecorded > 0 ? ` (and ${r.unrecorded} before, only counted)` : ""}`,
      ),
    ]),
  );
}
