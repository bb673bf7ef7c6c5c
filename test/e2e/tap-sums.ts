/** The sums of the loss ledger that must come out in every answer (design section 6). */
import assert from "node:assert/strict";
import type { LedgerRow } from "@bulkhead/schema";

export function assertSums(row: LedgerRow): void {
  assert.equal(row.seen, row.filtered + row.mirrored + row.notMirrored, JSON.stringify(row));
  assert.equal(row.mirrored, row.wireDropped + row.received, JSON.stringify(row));
  assert.equal(row.received, row.processed + row.toolDropped, JSON.stringify(row));
}
