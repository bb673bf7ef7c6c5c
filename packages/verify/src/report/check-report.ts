/**
 * Checks a signed report: that the sensor's key signed exactly its text, and the page beside it.
 *
 * Invariants: pure; a report that brings its own key shows that it is whole, and not whose it is: `ownKey` says so.
 */
import { createHash, createPublicKey, type KeyObject, verify } from "node:crypto";
import * as z from "zod";
import { VerifyError } from "../error.ts";
import { SignedReport } from "./report.ts";

export interface ReportCheck {
  readonly ok: boolean;
  readonly faults: readonly string[];
  /** SHA-256 over the key's SPKI in DER, in hex: what `bulkhead audit verify` calls the key. */
  readonly key: string;
  /** The key came with the report. */
  readonly ownKey: boolean;
  /** Whether the page beside it was checked, too. */
  readonly page: boolean;
}

/**
 * @param text the file FILE.json
 * @param page the file FILE.html; null where it is not there
 * @param publicKey PEM, of the sensor; null: the one that the report brings
 * @throws VerifyError `verify-report-unreadable`
 */
export function checkReport(text: string, page: string | null, publicKey: string | null): ReportCheck {
  const { report, signature, html } = parse(text);
  const brought = keyOf(signature.publicKey);
  const key = publicKey === null ? brought : keyOf(publicKey);
  const isSigned = (message: string, value: string): boolean =>
    verify(null, Buffer.from(message), key, Buffer.from(value, "base64"));
  const faults: string[] = [];
  if (!brought.equals(key)) faults.push("it names another key than the one given");
  if (!isSigned(report, signature.value)) faults.push("the signature is not over this report by this key");
  if (page !== null && !isSigned(page, html.signature))
    faults.push(`${html.file} is not the page that was signed with it`);
  const der = key.export({ type: "spki", format: "der" });
  return {
    ok: faults.length === 0,
    faults,
    key: createHash("sha256").update(der).digest("hex"),
    ownKey: publicKey === null,
    page: page !== null,
  };
}

function parse(text: string): SignedReport {
  try {
    return SignedReport.parse(JSON.parse(text));
  } catch (cause) {
    if (!(cause instanceof SyntaxError || cause instanceof z.ZodError)) throw cause;
    throw new VerifyError("verify-report-unreadable", "this is no report that verify wrote", {
      advice: "give the file that ends in .json, as `verify --report` wrote it",
      cause,
    });
  }
}

/** @param text PEM, or DER in base64 */
function keyOf(text: string): KeyObject {
  try {
    const key = text.includes("BEGIN")
      ? createPublicKey(text)
      : createPublicKey({ key: Buffer.from(text, "base64"), format: "der", type: "spki" });
    if (key.asymmetricKeyType === "ed25519") return key;
  } catch (cause) {
    throw new VerifyError("verify-report-unreadable", "the public key cannot be read", { cause });
  }
  throw new VerifyError("verify-report-unreadable", "the public key is no Ed25519 key");
}
