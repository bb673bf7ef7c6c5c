/**
 * The report of a proof for an auditor: what was tried on which host, what it means and what came of it; as JSON, signed.
 *
 * Invariants: the signature is Ed25519 over the exact bytes of `report`; a report says what the host lacks.
 */
import { type KeyObject, createPublicKey, sign } from "node:crypto";
import type { Proof } from "../run/result.ts";
import { CHECKERS } from "./checkers.ts";
import type { HostFacts } from "./facts.ts";

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

export interface SignedReport {
  /** JSON of the report, as it was signed. */
  readonly report: string;
  readonly signature: { readonly algorithm: "ed25519"; readonly publicKey: string; readonly value: string };
}

export function makeReport(input: {
  readonly time: string;
  readonly installation: string;
  readonly bulkhead: string;
  readonly host: HostFacts;
  readonly proof: Proof;
}): Report {
  return { kind: "bulkhead-verify-report", version: 1, ...input, checkers: CHECKERS };
}

/** `key`: the sensor's own. The public key is in DER (SubjectPublicKeyInfo), base64. */
export function signReport(report: Report, key: KeyObject): SignedReport {
  const text = JSON.stringify(report);
  const publicKey = createPublicKey(key).export({ type: "spki", format: "der" }).toString("base64");
  return {
    report: text,
    signature: {
      algorithm: "ed25519",
      publicKey,
      value: sign(null, Buffer.from(text), key).toString("base64"),
    },
  };
}
