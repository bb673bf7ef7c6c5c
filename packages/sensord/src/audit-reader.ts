/**
 * Audit reader: entries of warden's audit log, page by page, for the API. sensord keeps nothing of
 * them: a reader that is asked again goes on behind the number that it is given.
 */
import type { AuditPage, AuditQuery, AuditReading, AuditRecord } from "@bulkhead/schema";
import { ProblemError } from "./api/problem.ts";
import { pause } from "./pause.ts";

const PAGE = 500;
const FOLLOW_EVERY_MS = 500;

export interface AuditSource {
  readAudit(reading: AuditReading): Promise<AuditPage>;
}

/** Without `after` the newest `limit`; with `follow` it goes on until the signal aborts. */
export async function* auditEntries(
  source: AuditSource,
  { after, limit, follow }: AuditQuery,
  signal: AbortSignal,
): AsyncGenerator<AuditRecord, void, undefined> {
  let at = after ?? Math.max(0, (await source.readAudit({ after: null, limit: 1 })).newest - limit);
  for (let left = limit; !signal.aborted;) {
    const { entries, newest } = await source.readAudit({
      after: at,
      limit: Math.min(PAGE, follow ? PAGE : left),
    });
    yield* entries;
    left -= entries.length;
    at = entries.at(-1)?.seq ?? Math.max(at, newest);
    if (!follow && (entries.length === 0 || left <= 0)) return;
    if (at >= newest) {
      if (!follow) return;
      await pause(FOLLOW_EVERY_MS, signal);
    }
  }
}

/** Throws `audit-entry-absent`. */
export async function auditEntry(source: AuditSource, seq: number): Promise<AuditRecord> {
  const { entries, newest } = await source.readAudit({ after: seq - 1, limit: 1 });
  const [found] = entries;
  if (found?.seq === seq) return found;
  const words = seq > newest ? `the newest is ${newest}` : "it was removed when the log became too large";
  throw new ProblemError("audit-entry-absent", `the audit log has no entry ${seq}: ${words}`);
}
