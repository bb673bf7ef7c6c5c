/**
 * Method `passphrase`: the wrapping key is scrypt of what a person knows (RFC 7914). The parameters stand in the
 * record, so that they can be raised later without losing old ones.
 */
import { randomBytes, scrypt } from "node:crypto";
import * as z from "zod";
import { Secret } from "./secret.ts";

export const PassphraseRecord = z.strictObject({
  kind: z.literal("passphrase"),
  salt: z.base64(),
  /** Bounded: whoever can write the record is root, but a damaged one must not take all memory. */
  n: z.union([z.literal(2 ** 15), z.literal(2 ** 16), z.literal(2 ** 17), z.literal(2 ** 18)]),
  r: z.literal(8),
  p: z.literal(1),
});
export type PassphraseRecord = z.infer<typeof PassphraseRecord>;

/** 128 MiB and about half a second on a slow machine. */
export function newPassphraseRecord(): PassphraseRecord {
  return { kind: "passphrase", salt: randomBytes(32).toString("base64"), n: 2 ** 17, r: 8, p: 1 };
}

export function passphraseKey(record: PassphraseRecord, passphrase: Secret): Promise<Secret> {
  const { salt, n, r, p } = record;
  const { promise, resolve, reject } = Promise.withResolvers<Secret>();
  const options = { N: n, r, p, maxmem: 256 * n * r };
  scrypt(passphrase.bytes, Buffer.from(salt, "base64"), 32, options, (error, key) => {
    if (error === null) resolve(new Secret(key));
    else reject(error);
  });
  return promise;
}
