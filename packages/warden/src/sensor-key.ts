/**
 * The sensor's own Ed25519 key (RFC 8032): signs what the sensor says about itself, such as the
 * head of its audit log. Root's alone; it is made once and never leaves warden's directory.
 */
import {
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  sign,
  verify,
} from "node:crypto";
import type { InstallationLayout } from "@bulkhead/schema";
import { writeFileAtomically } from "./site/atomic-file.ts";
import { readIfPresent } from "./site/read-file.ts";

export interface SensorKey {
  /** SPKI, PEM. */
  readonly publicPem: string;
  /** SHA-256 over the SPKI in DER, hex. */
  readonly fingerprint: string;
  /** Ed25519 over the message, base64. */
  readonly sign: (message: Uint8Array) => string;
  /** True: `fingerprint` is this key's, and it signed the message. */
  readonly signed: (message: Uint8Array, signature: string, fingerprint: string) => boolean;
}

type KeyFiles = Pick<InstallationLayout, "sensorKeyFile" | "sensorPublicKeyFile">;

/** The key of this installation; makes one where there is none. */
export async function openSensorKey(layout: KeyFiles): Promise<SensorKey> {
  const { sensorKeyFile: file, sensorPublicKeyFile: publicFile } = layout;
  const pem = (await readIfPresent(file)) ?? (await makeKey(file));
  const key = sensorKeyOf(createPrivateKey(pem));
  if ((await readIfPresent(publicFile)) !== key.publicPem)
    await writeFileAtomically(publicFile, key.publicPem, 0o644);
  return key;
}

export function sensorKeyOf(privateKey: KeyObject): SensorKey {
  const publicKey = createPublicKey(privateKey);
  const fingerprint = createHash("sha256")
    .update(publicKey.export({ type: "spki", format: "der" }))
    .digest("hex");
  return {
    publicPem: publicKey.export({ type: "spki", format: "pem" }).toString(),
    fingerprint,
    sign: (message) => sign(null, message, privateKey).toString("base64"),
    signed: (message, signature, other) =>
      other === fingerprint && verify(null, message, publicKey, Buffer.from(signature, "base64")),
  };
}

async function makeKey(file: string): Promise<string> {
  const { privateKey } = generateKeyPairSync("ed25519");
  const pem = privateKey.export({ type: "pkcs8", format: "pem" }).toString();
  await writeFileAtomically(file, pem, 0o600);
  return pem;
}
