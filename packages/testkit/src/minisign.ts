/**
 * Signatures in minisign's format, prehashed (BLAKE2b-512, Ed25519), for what a feed of the demo or of a test publishes.
 *
 * Source: the format's description in minisign's manual, "Signature format" and "Public key format".
 */
import {
  createHash,
  createPrivateKey,
  generateKeyPairSync,
  type KeyObject,
  randomBytes,
  sign,
} from "node:crypto";
import { TestkitError } from "./error.ts";

export interface MinisignKey {
  readonly id: Buffer;
  readonly privateKey: KeyObject;
  /** As minisign prints a public key: one line of base64. */
  readonly publicKey: string;
}

export function makeMinisignKey(): MinisignKey {
  return keyOf(randomBytes(8), generateKeyPairSync("ed25519").privateKey);
}

/** As a text that only its owner may read. */
export function renderMinisignKey({ id, privateKey }: MinisignKey): string {
  return `${id.toString("hex")}\n${String(privateKey.export({ type: "pkcs8", format: "pem" }))}`;
}

/** What `renderMinisignKey` wrote. @throws TestkitError `testkit-bad-argument` */
export function parseMinisignKey(text: string): MinisignKey {
  const end = text.indexOf("\n");
  const id = Buffer.from(text.slice(0, end), "hex");
  if (id.length !== 8) throw new TestkitError("testkit-bad-argument", "this is no signing key of a feed");
  return keyOf(id, createPrivateKey(text.slice(end + 1)));
}

function keyOf(id: Buffer, privateKey: KeyObject): MinisignKey {
  // A JWK's x is the bare 32 bytes of the public key (RFC 8037).
  const raw = Buffer.from(privateKey.export({ format: "jwk" }).x ?? "", "base64url");
  return { id, privateKey, publicKey: Buffer.concat([Buffer.from("Ed"), id, raw]).toString("base64") };
}

/** The text of `FILE.minisig`. `trusted`: the comment that is signed with it. */
export function signLikeMinisign(key: MinisignKey, content: Uint8Array, trusted: string): string {
  const signature = sign(null, createHash("blake2b512").update(content).digest(), key.privateKey);
  const whole = sign(null, Buffer.concat([signature, Buffer.from(trusted)]), key.privateKey);
  return [
    "untrusted comment: signature of a demo feed",
    Buffer.concat([Buffer.from("ED"), key.id, signature]).toString("base64"),
    `trusted comment: ${trusted}`,
    whole.toString("base64"),
    "",
  ].join("\n");
}
