/**
 * Fault: one thing that is wrong with what somebody wrote, where it stands, and what would be
 * accepted. Faults are reported all together; they are values, never exceptions.
 */
import * as z from "zod";

export const FAULT_CODES = [
  "syntax",
  "unknown-key",
  "missing",
  "wrong-type",
  "invalid-value",
  "unknown-package",
  "unknown-instrument",
  "unknown-interface",
  "not-declared",
  "not-needed",
  "duplicate-device",
  "duplicate-address",
  "network-conflict",
  "name-reserved",
  "volume-differs",
  "config-rejected",
  "file-missing",
  "filter-rejected",
  "schemas-differ",
  "flow-refused",
] as const;

export const FaultCode = z.enum(FAULT_CODES);
export type FaultCode = z.infer<typeof FaultCode>;

export const Fault = z.strictObject({
  /** JSON pointer (RFC 6901) into the document. */
  path: z.string(),
  file: z.string(),
  /** 1-based. */
  line: z.int().min(1),
  column: z.int().min(1),
  code: FaultCode,
  message: z.string(),
  /** What would be accepted in its place. */
  accepted: z.string(),
});
export type Fault = z.infer<typeof Fault>;
