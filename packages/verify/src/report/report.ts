/**
 * The report of a proof for an auditor: what was tried on which host, what it means and what came of it; as JSON, signed.
 *
 * Invariants: signatures are Ed25519 over exact bytes, of the report and of its page; a report says what the host lacks.
 */
import { type KeyObject, createPublicKey, sign } from "node:crypto";
import * as z from "zod";
import type { Proof } from "../run/result.ts";
import { CHECKERS } from "./checkers.ts";
import type { HostFacts } from "./facts.ts";
import { renderHtml } from "./html.ts";

export interface Report {
  readonly kind: "bulkhead-verify-report";
  readonly version: 1;
  readonly time: string;
  readonly installation: string;
  readonly bulkhead: string;
  readonly host: HostFacts;
  readonly checkers: typeof CHECKERS;
  readonly proof: Proof;
}

export const SignedReport = z.strictObject({
  /** JSON of the report, as it was signed. */
  report: z.string(),
  /** Over the exact bytes of `report`. The public key is in DER (SubjectPublicKeyInfo), base64. */
  signature: z.strictObject({ algorithm: z.literal("ed25519"), publicKey: z.string(), value: z.string() }),
  /** The page beside it, and the signature over its exact bytes. */
  html: z.strictObject({ file: z.string(), signature: z.string() }),
});
export type SignedReport = z.infer<typeof SignedReport>;

export function makeReport(input: {
  readonly time: string;
  readonly installation: string;
  readonly bulkhead: string;
  readonly host: HostFacts;
  readonly proof: Proof;
}): Report {
  return { kind: "bulkhead-verify-report", version: 1, ...input, checkers: CHECKERS };
}

/** @param key the sensor's own. @returns what stands in FILE.json and in FILE.html */
export function signFiles(
  report: Report,
  key: KeyObject,
  pageName: string,
): { readonly json: string; readonly html: string } {
  const text = JSON.stringify(report);
  const publicKey = createPublicKey(key).export({ type: "spki", format: "der" }).toString("base64");
  const signed = (message: string): string => sign(null, Buffer.from(message), key).toString("base64");
  const signature = { algorithm: "ed25519", publicKey, value: signed(text) } as const;
  const html = renderHtml(report, signature);
  const file: SignedReport = { report: text, signature, html: { file: pageName, signature: signed(html) } };
  return { json: `${JSON.stringify(file, null, 2)}\n`, html };
}
