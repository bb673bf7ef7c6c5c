/** Audit entries as a table, one in full, and the verifier's report. */
import type { AuditFault } from "@bulkhead/core";
import type { AuditRecord } from "@bulkhead/schema";
import type { CopyReport, VerifyReport } from "../audit/verify-copies.ts";
import { tone } from "../output.ts";

const WIDTHS = { seq: 7, by: 7, kind: 20, subject: 16 } as const;
const DETAIL_CHARS = 90;

/** One line; columns are of fixed width, so that lines that come later stand under the former. */
export function renderAuditLine({ seq, time, by, kind, subject, detail }: AuditRecord): string {
  const words = Object.entries(detail).map(([fact, value]) => `${fact}=${String(value)}`);
  const bad = /\.failed$|^refused$|differs|^audit\.(?!begin|removed)|denied/.test(kind);
  const columns = [
    tone("dim", String(seq).padStart(WIDTHS.seq)),
    `${time.slice(0, 10)} ${time.slice(11, 19)}`,
    tone(by === "warden" ? "dim" : "bold", by.padEnd(WIDTHS.by)),
    tone(bad ? "bad" : "bold", kind.padEnd(WIDTHS.kind)),
    subject.padEnd(WIDTHS.subject),
    tone("dim", short(words.join(" "))),
  ];
  return columns.join("  ").trimEnd();
}

export function renderAuditEntry({ detail, ...record }: AuditRecord): string {
  const rows: readonly (readonly [string, string])[] = [
    ["entry", String(record.seq)],
    ["time", record.time],
    ["by", record.by],
    ["kind", record.kind],
    ["subject", record.subject],
    ...Object.entries(detail).map(([fact, value]) => [fact, String(value)] as const),
    ["prev", record.prev],
    ["hash", record.hash],
  ];
  const width = Math.max(...rows.map(([title]) => title.length));
  return rows.map(([title, value]) => `${tone("dim", title.padEnd(width))}  ${value}`).join("\n");
}

export function renderVerifyReport({ ok, copies, differences }: VerifyReport): string {
  const last = ok
    ? tone("good", "The log is as it was written.")
    : tone("bad", "The log is not as it was written.");
  return [...copies.map(renderCopy), ...differences.map(renderFault), last].join("\n");
}

function renderCopy(copy: CopyReport): string {
  const { name, entries, removed, unsigned, first, last, tornBytes, faults, key, ownKey } = copy;
  const span = last === null ? "no entries" : `entries ${first ?? last.seq} to ${last.seq}`;
  const lines = [
    `${tone("bold", name)}: ${span}: ${entries} read, ${removed} removed by checkpoint`,
    `  key ${key}${ownKey ? " (the copy's own: compare it with the sensor's)" : ""}`,
    ...(last === null ? [] : [`  last hash ${last.hash}`]),
    ...(unsigned === 0 ? [] : [`  ${unsigned} newer than the signed head`]),
    ...(tornBytes === 0 ? [] : [`  ${tornBytes} bytes at the end are no whole line (yet)`]),
    ...faults.map(renderFault),
  ];
  return lines.join("\n");
}

function renderFault({ kind, file, line, message }: AuditFault): string {
  return `  ${tone("bad", line === 0 ? file : `${file}:${line}`)} ${message}  ${tone("dim", kind)}`;
}

/** On one line. */
function short(words: string): string {
  const text = words.replaceAll(/\s+/g, " ");
  return text.length > DETAIL_CHARS ? `${text.slice(0, DETAIL_CHARS - 1)}…` : text;
}
