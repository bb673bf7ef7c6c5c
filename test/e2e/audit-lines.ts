/** What stands in a sensor's audit log, read from its files as root. */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { AuditRecord, type InstallationLayout } from "@bulkhead/schema";
import { eventually } from "@bulkhead/testkit";

const SAID_AT_FAILURE = 8;

/** Every entry, oldest first; checkpoints are left out. */
export async function readAuditLog({
  auditDir,
}: Pick<InstallationLayout, "auditDir">): Promise<readonly AuditRecord[]> {
  const names = (await readdir(auditDir)).filter((name) => name.endsWith(".jsonl")).toSorted();
  const texts = await Promise.all(names.map((name) => readFile(join(auditDir, name), "utf8")));
  const lines = texts.join("").split("\n");
  return lines.flatMap((line) => (line.startsWith('{"by":') ? [AuditRecord.parse(JSON.parse(line))] : []));
}

/** Waits for an entry behind the first `from`, whose detail matches. */
export async function awaitAudited(
  layout: Pick<InstallationLayout, "auditDir">,
  { kind, subject, what, from = 0 }: { kind: string; subject: string; what: RegExp; from?: number },
): Promise<void> {
  let entries: readonly AuditRecord[] = [];
  const wanted = (): string => {
    const last = entries.slice(-SAID_AT_FAILURE).map((e) => ({ ...e, prev: undefined, hash: undefined }));
    return `the audit log says ${kind} of ${subject}: ${what}; it says ${JSON.stringify(last)}`;
  };
  await eventually(wanted, async () => {
    entries = (await readAuditLog(layout)).slice(from);
    return entries.some(
      (entry) => entry.kind === kind && entry.subject === subject && what.test(JSON.stringify(entry.detail)),
    );
  });
}
