/** What is kept and for how long: one line for each store, then the clock and what is overdue. */
import {
  type EraseReply,
  renderDuration,
  renderSize,
  type RetentionReport,
  type RetentionRow,
} from "@bulkhead/schema";
import { tone } from "../output.ts";
import { renderTable } from "./table.ts";

export function renderRetention({ sensor, clock, policy, rows }: RetentionReport): string {
  if (sensor === null) return "No site was applied yet. Next: sudo ./bulkhead apply FILE";
  const parts = [
    renderTable(
      ["STORE", "PERIOD", "BY", "OLDEST REPORTED", "OLDEST MEASURED", "SIZE", "LAST PURGE", "NEXT PURGE", ""],
      rows.map((row) => [
        `${row.owner} ${row.store}`,
        row.periodMs === null ? "-" : renderDuration(row.periodMs),
        row.by,
        reportedWords(row),
        row.measured.oldest === null
          ? tone("dim", row.measured.how)
          : measuredWords(row, row.measured.oldest),
        row.sizeBytes === null ? "-" : renderSize(row.sizeBytes),
        purgeWords(row),
        row.nextPurge === null ? "-" : time(row.nextPurge),
        row.breaches.length > 0 ? tone("bad", "OVERDUE") : enforcedWords(row),
      ]),
    ),
  ];
  const breaches = rows.flatMap((row) => row.breaches.map((breach) => ({ row, breach })));
  if (breaches.length > 0) {
    const lines = breaches.map(
      ({ row, breach }) =>
        `  ${tone("bad", `${row.owner} ${row.store}`)}: ${breach.basis} ${time(breach.oldest)} (${breach.record}), ` +
        `${renderDuration(breach.ageMs)} old, kept for ${renderDuration(breach.periodMs)} by ${row.by}`,
    );
    parts.push(`Kept too long:\n${lines.join("\n")}`);
  }
  const bounds = [
    ...(policy.minimumMs === null ? [] : [`at least ${renderDuration(policy.minimumMs)}`]),
    ...(policy.maximumMs === null ? [] : [`at most ${renderDuration(policy.maximumMs)}`]),
  ];
  if (bounds.length > 0) parts.push(`Policy: ${bounds.join(", ")}`);
  if (clock.state !== "agrees") {
    const now = clock.now === null ? "nothing" : time(clock.now);
    parts.push(
      `Clock: ${tone("warn", clock.state)}; the host says ${time(clock.wall)}, periods are counted by ${now}\n  ${clock.detail}` +
        (clock.state === "implausible"
          ? ""
          : "\n  right all the same? sudo bulkhead retention confirm-clock"),
    );
  }
  return parts.join("\n\n");
}

export function renderErased(reply: EraseReply): string {
  const { instrument, complete, records, events, logLines } = reply;
  const count = records.removed === null ? "records, which it does not count" : `${records.removed} records`;
  const said =
    records.outcome === "answered"
      ? `${tone("good", "erased")} ${count} of ${instrument}`
      : `${tone("bad", "not confirmed")} by ${instrument}: ${records.detail}`;
  const left =
    complete && records.oldest !== null ? `\n  the oldest that is left is of ${time(records.oldest)}` : "";
  return `${said}${left}\n  ${events} events and ${logLines} log lines removed`;
}

function reportedWords({ reported }: RetentionRow): string {
  switch (reported.outcome) {
    case "none":
      return "-";
    case "unasked":
      return tone("dim", reported.detail === "" ? "not asked yet" : reported.detail);
    case "answered":
      return reported.oldest === null ? "nothing" : time(reported.oldest);
    case "silent":
    case "failed":
      return tone("bad", reported.detail);
  }
}

/** Of slices the oldest says little without how many there are. */
function measuredWords({ enforced, measured }: RetentionRow, oldest: string): string {
  return enforced === undefined ? time(oldest) : `${time(oldest)} (${measured.how})`;
}

/** With no trust in the instrument. */
function enforcedWords({ enforced }: RetentionRow): string {
  return enforced === undefined ? "" : tone("good", "enforced");
}

function purgeWords({ lastPurge }: RetentionRow): string {
  if (lastPurge === null) return "-";
  return `${time(lastPurge.at)} (${lastPurge.removed ?? "not counted"})`;
}

function time(text: string): string {
  return `${text.slice(0, 19).replace("T", " ")}Z`;
}
