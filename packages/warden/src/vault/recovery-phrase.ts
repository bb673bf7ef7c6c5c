/**
 * Recovery phrase: 24 words of BIP-39's English list, which are 32 random bytes and a checksum. It opens the vault
 * when its method cannot, and on other hardware.
 *
 * The bytes are random as they are, so HKDF (RFC 5869) and no slow function makes the wrapping key of them.
 */
import { hkdfSync } from "node:crypto";
import { entropyToMnemonic, mnemonicToEntropy } from "@scure/bip39";
import { wordlist } from "@scure/bip39/wordlists/english.js";
import { Secret } from "./secret.ts";

/** @param entropy 32 bytes */
export function phraseOf(entropy: Secret): string {
  return entropyToMnemonic(entropy.bytes, wordlist);
}

/** Null where it is not 24 words of the list with the right checksum. Blanks and case do not matter. */
export function openPhrase(text: string): Secret | null {
  const words = text.trim().toLowerCase().split(/\s+/);
  if (words.length !== 24) return null;
  try {
    return new Secret(Buffer.from(mnemonicToEntropy(words.join(" "), wordlist)));
  } catch {
    // The library throws for an unknown word and for a wrong checksum alike.
    return null;
  }
}

/** The key that wraps the master key for recovery. */
export function recoveryKey(entropy: Secret): Secret {
  return new Secret(Buffer.from(hkdfSync("sha256", entropy.bytes, "", "bulkhead recovery", 32)));
}
