/**
 * Orders: what people ask for is recorded before it is done, with whose socket it came on, and
 * again if it was refused. An order that cannot be recorded is not carried out (entry-rules.ts
 * names the two that are).
 */
import type { AuditEntry } from "@bulkhead/schema";
import type { AuditLog } from "../audit/audit-log.ts";
import { WardenError } from "../error.ts";

/** @throws WardenError `audit-unwritable`, and what `act` throws */
export type Ordered = <T>(
  by: "sensord" | "root",
  verb: string,
  subject: string,
  act: () => Promise<T>,
  detail?: AuditEntry["detail"],
) => Promise<T>;

export function orderedWith(audit: Pick<AuditLog, "writer">): Ordered {
  return async (by, verb, subject, act, detail = {}) => {
    await audit.writer(by).append(`order.${verb}`, subject, detail);
    try {
      return await act();
    } catch (error) {
      const code = error instanceof WardenError ? error.code : "unexpected-error";
      await audit.writer("warden").append("refused", subject, { order: verb, code });
      throw error;
    }
  };
}
