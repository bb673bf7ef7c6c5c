/** Networks of instruments: where each one is, what may come in and go out, and what was refused last. */
import type { InstrumentNetworkStatus, NetworkStatus } from "@bulkhead/schema";
import { tone } from "../output.ts";
import { renderTable } from "./table.ts";

export function renderNetwork({ instruments }: NetworkStatus): string {
  return [
    renderTable(
      ["INSTRUMENT", "NETWORK", "ON", "DEVICE", "ADDRESSES", "STATE"],
      instruments.map((i) => [
        i.instrument,
        KINDS[i.kind],
        i.on ?? "",
        i.device ?? "",
        i.addresses.join(" "),
        renderState(i.state),
      ]),
    ),
    ...instruments.flatMap(renderFlows),
    ...instruments.flatMap(renderRefused),
  ].join("\n\n");
}

const KINDS = {
  none: "none",
  mirror: "mirror",
  engine: "span",
  port: "bridged",
  nic: "dedicated",
} as const satisfies Record<InstrumentNetworkStatus["kind"], string>;

function renderFlows({ instrument, allowed, refusals }: InstrumentNetworkStatus): readonly string[] {
  if (allowed.length === 0) return [];
  const rows = [
    ...allowed.map((a) => [a.direction, a.what, a.packetsIn, a.packetsOut, a.by]),
    ...refusals.map((r) => [
      r.direction,
      tone("warn", `refused: ${r.reason}`),
      r.direction === "in" ? r.packets : "",
      r.direction === "out" ? r.packets : "",
      "",
    ]),
  ];
  return [renderTable([instrument.toUpperCase(), "WHAT", "PACKETS IN", "PACKETS OUT", "BY"], rows)];
}

function renderRefused({ instrument, lastRefused }: InstrumentNetworkStatus): readonly string[] {
  if (lastRefused.length === 0) return [];
  const lines = lastRefused.map(
    (r) =>
      `  ${r.agoS} s ago  ${r.direction}  ${r.protocol} ${r.from} → ${r.to} port ${r.port} (${r.packets} packets)`,
  );
  return [`Refused last, ${instrument}:\n${lines.join("\n")}`];
}

function renderState(state: string): string {
  if (["connected", "given", "guarded"].includes(state)) return tone("good", state);
  return state === "broken" || state === "unguarded" ? tone("bad", state) : tone("warn", state);
}
