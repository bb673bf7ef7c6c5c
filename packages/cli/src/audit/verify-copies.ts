/**
 * Verifies copies of an audit log with the verifier of the core: each by itself, and where they
 * overlap against each other. It needs no running sensor.
 */
import { createHash, createPublicKey, type KeyObject, verify } from "node:crypto";
import { type AuditFault, type AuditVerdict, compareAudits, verifyAudit } from "@bulkhead/core";
import { CliError } from "../error.ts";
import type { LogCopy } from "./log-copy.ts";

export interface CopyReport extends Omit<AuditVerdict, "hashes"> {
  readonly name: string;
  /** SHA-256 over the public key that it was checked with (SPKI, DER), hex. */
  readonly key: string;
  /** True: that key came with the copy, and is to be compared with one that is known. */
  readonly ownKey: boolean;
}

export interface VerifyReport {
  readonly ok: boolean;
  readonly copies: readonly CopyReport[];
  /** Where copies disagree. */
  readonly differences: readonly AuditFault[];
}

/** @param publicKey PEM, of the sensor; null: each copy's own. @throws CliError `audit-key-missing`, `audit-key-unreadable` */
export function verifyCopies(copies: readonly LogCopy[], publicKey: string | null): VerifyReport {
  const verified = copies.map((copy) => {
    const pem = publicKey ?? copy.publicKey;
    if (pem === null) {
      throw new CliError("audit-key-missing", `${copy.name}: whose signatures are to be checked?`, {
        advice: "give the sensor's public key with --key FILE",
        exitCode: 2,
      });
    }
    const key = publicKeyOf(pem);
    const own = fingerprintOf(key);
    const verdict = verifyAudit({
      ...copy,
      checkSignature: (message, signature, fingerprint) =>
        fingerprint === own && verify(null, message, key, Buffer.from(signature, "base64")),
    });
    return { name: copy.name, verdict, key: own, ownKey: publicKey === null };
  });
  const differences = verified.flatMap((one, index) =>
    verified.slice(index + 1).flatMap((other) => compareAudits(one, other)),
  );
  const reports = verified.map(({ name, verdict, key, ownKey }): CopyReport => {
    const { ok, entries, removed, unsigned, first, last, tornBytes, faults } = verdict;
    return { name, ok, entries, removed, unsigned, first, last, tornBytes, faults, key, ownKey };
  });
  return { ok: differences.length === 0 && reports.every(({ ok }) => ok), copies: reports, differences };
}

function publicKeyOf(pem: string): KeyObject {
  try {
    const key = createPublicKey(pem);
    if (key.asymmetricKeyType === "ed25519") return key;
  } catch (cause) {
    throw new CliError("audit-key-unreadable", "the public key cannot be read", { cause, exitCode: 2 });
  }
  throw new CliError("audit-key-unreadable", "the public key is no Ed25519 key", { exitCode: 2 });
}

function fingerprintOf(key: KeyObject): string {
  return createHash("sha256")
    .update(key.export({ type: "spki", format: "der" }))
    .digest("hex");
}
