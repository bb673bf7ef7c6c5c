/**
 * Rules about entries: which ones must be on the disk before the thing is done, and how long their
 * texts may be. Pure.
 */
import { AUDIT_TEXT_CHARS, type AuditEntry, type AuditWriter } from "@bulkhead/schema";

/**
 * What people ask for is not done unrecorded. Holding the host to its site, and taking it out of
 * service, is: leaving a guard off, or a sensor up, because a disk is full would be the worse of two.
 */
const FAIL_CLOSED = ["order.", "vault.", "retention.", "backup."] as const;
const ALWAYS_DONE: readonly string[] = ["order.down", "order.purge"];

export function mustBeRecorded(by: AuditWriter, kind: string): boolean {
  // sensord waits, and tries again.
  if (by === "sensord") return true;
  return !ALWAYS_DONE.includes(kind) && FAIL_CLOSED.some((prefix) => kind.startsWith(prefix));
}

/** warden's own entries are cut to what a line may hold; they are never refused for their length. */
export function boundedEntry({ kind, subject, detail }: AuditEntry): AuditEntry {
  const cut = (text: string, most: number): string =>
    text.length > most ? `${text.slice(0, most - 1)}…` : text;
  return {
    kind: cut(kind, 60),
    subject: cut(subject, 120),
    detail: Object.fromEntries(
      Object.entries(detail).map(([fact, value]) => [
        fact,
        typeof value === "string" ? cut(value, AUDIT_TEXT_CHARS) : value,
      ]),
    ),
  };
}
