/**
 * Audit entries as lines of the log: how one is chained to the one before, and the texts that the
 * sensor's key signs. Pure: whoever signs or checks a signature passes that in.
 */
import {
  AuditCheckpoint,
  type AuditEntry,
  type AuditHead,
  AuditRecord,
  type AuditWriter,
} from "@bulkhead/schema";
import { utf8ToBytes } from "@noble/hashes/utils.js";
import { digestOf, renderCanonical } from "./canonical.ts";

/** The last entry of a chain: what the next one is chained to. */
export interface AuditTip {
  readonly seq: number;
  readonly hash: string;
}

/** What the first entry of a log is chained to. */
export const AUDIT_GENESIS: AuditTip = { seq: 0, hash: "0".repeat(64) };

/** @param time RFC 3339 */
export function sealEntry(entry: AuditEntry, by: AuditWriter, time: string, tip: AuditTip): AuditRecord {
  const { kind, subject, detail } = entry;
  const open = { seq: tip.seq + 1, time, by, kind, subject, detail, prev: tip.hash };
  return { ...open, hash: digestOf(open) };
}

/** What `hash` must be. */
export function hashOfRecord(record: AuditRecord): string {
  return digestOf({ ...record, hash: undefined });
}

/** One line of the log, without the newline. */
export function renderAuditLine(line: AuditRecord | AuditCheckpoint): string {
  return renderCanonical(line);
}

/** A purpose of its own for each kind of text: no signature can be taken for another's. */
export function checkpointMessage(checkpoint: AuditCheckpoint["checkpoint"]): Uint8Array {
  return utf8ToBytes(renderCanonical({ purpose: "bulkhead-audit-checkpoint/v1", ...checkpoint }));
}

export function headMessage(head: AuditHead["head"]): Uint8Array {
  return utf8ToBytes(renderCanonical({ purpose: "bulkhead-audit-head/v1", ...head }));
}

export type AuditLine =
  | { readonly kind: "entry"; readonly record: AuditRecord }
  | { readonly kind: "checkpoint"; readonly checkpoint: AuditCheckpoint };

/** A line as it must be, byte for byte; or why it is none. */
export function parseAuditLine(text: string): AuditLine | { readonly kind: "none"; readonly why: string } {
  let data: unknown;
  try {
    data = JSON.parse(text);
  } catch {
    return { kind: "none", why: "is no JSON document" };
  }
  if (renderCanonical(data) !== text) return { kind: "none", why: "is not in canonical form" };
  if (typeof data === "object" && data !== null && "checkpoint" in data) {
    const checkpoint = AuditCheckpoint.safeParse(data);
    if (checkpoint.success) return { kind: "checkpoint", checkpoint: checkpoint.data };
    return { kind: "none", why: "is no checkpoint that this version reads" };
  }
  const record = AuditRecord.safeParse(data);
  if (record.success) return { kind: "entry", record: record.data };
  return { kind: "none", why: "is no entry that this version reads" };
}
