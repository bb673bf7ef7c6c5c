/**
 * Key wrapping: AES-256-GCM with the purpose as additional data, so that a wrapped key opens only as what it was
 * wrapped for. A nonce is 12 random bytes; one master key wraps far fewer than the 2^32 keys for which that is sound
 * (NIST SP 800-38D, section 8.3). Pure but for the random nonce.
 */
import { createCipheriv, createDecipheriv, randomBytes } from "node:crypto";
import * as z from "zod";
import { Secret } from "./secret.ts";

const NONCE_BYTES = 12;
const TAG_BYTES = 16;

export const WrappedKey = z.strictObject({
  nonce: z.base64(),
  ciphertext: z.base64(),
  tag: z.base64(),
});
export type WrappedKey = z.infer<typeof WrappedKey>;

/** @param wrapping 32 bytes. @param purpose what the key is for; needed again to unwrap it */
export function wrapKey(wrapping: Secret, key: Secret, purpose: string): WrappedKey {
  const nonce = randomBytes(NONCE_BYTES);
  const cipher = createCipheriv("aes-256-gcm", wrapping.bytes, nonce);
  cipher.setAAD(Buffer.from(purpose, "utf8"));
  const ciphertext = Buffer.concat([cipher.update(key.bytes), cipher.final()]);
  return {
    nonce: nonce.toString("base64"),
    ciphertext: ciphertext.toString("base64"),
    tag: cipher.getAuthTag().toString("base64"),
  };
}

/** Null where another key, or for another purpose, wrapped it, or where it was changed: they cannot be told apart. */
export function unwrapKey(wrapping: Secret, wrapped: WrappedKey, purpose: string): Secret | null {
  const [nonce, tag] = [Buffer.from(wrapped.nonce, "base64"), Buffer.from(wrapped.tag, "base64")];
  if (nonce.length !== NONCE_BYTES || tag.length !== TAG_BYTES) return null;
  const decipher = createDecipheriv("aes-256-gcm", wrapping.bytes, nonce, { authTagLength: TAG_BYTES });
  decipher.setAAD(Buffer.from(purpose, "utf8"));
  decipher.setAuthTag(tag);
  try {
    const first = decipher.update(Buffer.from(wrapped.ciphertext, "base64"));
    const key = Buffer.concat([first, decipher.final()]);
    first.fill(0);
    return new Secret(key);
  } catch {
    // node:crypto throws one untyped error for a tag that does not fit.
    return null;
  }
}
