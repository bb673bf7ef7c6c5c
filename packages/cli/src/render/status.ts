/** State of a sensor: instruments, taps with their loss ledger, processes, problems. */
import type { InstrumentStatus, SensorStatus } from "@bulkhead/schema";
import { tone } from "../output.ts";
import { renderTable } from "./table.ts";

export function renderStatus(status: SensorStatus): string {
  if (status.sensor === null) return "No site was applied yet. Next: sudo ./bulkhead apply FILE";
  const parts = [
    `${tone("bold", status.sensor)}  site ${status.siteVersion ?? "?"}  ${status.ok ? tone("good", "as the site says") : tone("warn", "not as the site says")}`,
    renderInstruments(status.instruments),
  ];
  parts.push(...status.instruments.flatMap(renderLastWords));
  if (status.taps.length > 0) parts.push(renderTaps(status.taps));
  const down = status.processes.filter((p) => p.state === "down");
  if (down.length > 0)
    parts.push(`Processes:\n${down.map((p) => `  ${p.name} ${tone("bad", "down")} ${p.detail}`).join("\n")}`);
  if (status.pending.length > 0)
    parts.push(`Waiting:\n${status.pending.map((p) => `  ${p.instrument}: ${p.what}`).join("\n")}`);
  if (status.absent.length > 0)
    parts.push(`Absent on this host:\n${status.absent.map((what) => `  ${what}`).join("\n")}`);
  if (status.problems.length > 0) {
    parts.push(
      `Problems:\n${status.problems.map((p) => `  ${tone("bad", p.target)}: ${p.message} ${tone("dim", p.code)}`).join("\n")}`,
    );
  }
  return parts.join("\n\n");
}

export function renderInstruments(instruments: readonly InstrumentStatus[]): string {
  return renderTable(
    ["INSTRUMENT", "PACKAGE", "STATE", "EVENTS", "REFUSED", "RESTARTS", "DETAIL"],
    instruments.map((i) => [
      i.name,
      `${i.package} ${i.version}`,
      renderState(i.state),
      i.events.acknowledged,
      i.events.refused + i.events.quarantined,
      i.restarts,
      i.detail,
    ]),
  );
}

/** What one that ended by itself logged last. */
function renderLastWords({ name, crash }: InstrumentStatus): readonly string[] {
  if (crash === null || crash.lastLines.length === 0) return [];
  const lines = crash.lastLines.map(({ time, level, message }) => `  ${time} ${level} ${message}`);
  return [`Last words of ${tone("warn", name)} (more: bulkhead logs ${name}):\n${lines.join("\n")}`];
}

/** Every count stands between its neighbours of the equations in design section 6. */
export function renderTaps(taps: SensorStatus["taps"]): string {
  return renderTable(
    [
      "TAP",
      "FILTER",
      "WIRE",
      "SEEN",
      "FILTERED",
      "MIRRORED",
      "WIRE DROPPED",
      "RECEIVED",
      "TOOL DROPPED",
      "PROCESSED",
      "TRIED TO SEND",
    ],
    taps.map((t) => [
      `${t.engine} → ${t.instrument}`,
      t.filter === "" ? "(all)" : t.filter,
      t.wire === "connected" ? tone("good", t.wire) : tone("bad", t.wire),
      t.seen,
      t.filtered,
      t.mirrored,
      t.wireDropped + t.notMirrored,
      t.received,
      t.toolDropped,
      t.processed,
      t.guardDropped,
    ]),
  );
}

function renderState(state: InstrumentStatus["state"]): string {
  if (state === "running") return tone("good", state);
  return tone(state === "degraded" || state === "locked" ? "bad" : "warn", state);
}
