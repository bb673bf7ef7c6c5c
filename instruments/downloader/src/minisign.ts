/**
 * minisign: signatures over files (jedisct1.github.io/minisign, "Signature format"), with Node's own Ed25519.
 *
 * Invariants: both signatures have to hold, the one over the content and the global one over it and the trusted
 * comment; the trusted comment is read only after that. Old signatures, over the content itself and not over its
 * BLAKE2b-512, need the content in memory and are taken for small files alone. It signs nothing.
 */
import { createPublicKey, type KeyObject, verify } from "node:crypto";
import { Problem } from "./problem.ts";

/** `ED`: over the BLAKE2b-512 of the content; `Ed`: over the content. */
type Algorithm = "ED" | "Ed";

export interface PublicKey {
  readonly id: Buffer;
  readonly key: KeyObject;
}

export interface Signature {
  readonly algorithm: Algorithm;
  readonly id: Buffer;
  readonly signature: Buffer;
  readonly trustedComment: string;
  readonly globalSignature: Buffer;
}

/** What is signed. */
export interface SignedContent {
  readonly sizeBytes: number;
  readonly blake2b512: Buffer;
  /** All of it, for an old signature. */
  readonly whole: () => Promise<Buffer>;
}

const MOST_OLD_BYTES = 32 * 1024 * 1024;
/** DER of an Ed25519 SubjectPublicKeyInfo, without the key itself (RFC 8410 section 4). */
const SPKI_PREFIX = Buffer.from("302a300506032b6570032100", "hex");

/** @throws Problem `signature` */
export function parsePublicKey(text: string): PublicKey {
  const raw = base64(text, 42);
  if (raw === null || raw.toString("latin1", 0, 2) !== "Ed")
    throw refuse("the public key is none of minisign");
  const key = createPublicKey({
    key: Buffer.concat([SPKI_PREFIX, raw.subarray(10)]),
    format: "der",
    type: "spki",
  });
  return { id: raw.subarray(2, 10), key };
}

/** @throws Problem `signature` */
export function parseSignature(text: string): Signature {
  const [untrusted, first, trusted, second, ...rest] = text.replace(/\r?\n$/, "").split(/\r?\n/);
  const raw = base64(first ?? "", 74);
  const globalSignature = base64(second ?? "", 64);
  const algorithm = raw?.toString("latin1", 0, 2);
  if (
    untrusted?.startsWith("untrusted comment: ") !== true ||
    trusted?.startsWith("trusted comment: ") !== true ||
    raw === null ||
    globalSignature === null ||
    rest.length > 0 ||
    (algorithm !== "ED" && algorithm !== "Ed")
  ) {
    throw refuse("the signature is none of minisign");
  }
  return {
    algorithm,
    id: raw.subarray(2, 10),
    signature: raw.subarray(10),
    trustedComment: trusted.slice("trusted comment: ".length),
    globalSignature,
  };
}

/**
 * Verifies a signature by one of these keys.
 * @returns the trusted comment @throws Problem `signature`
 */
export async function verifySignature(
  content: SignedContent,
  signature: Signature,
  keys: readonly PublicKey[],
): Promise<string> {
  const signer = keys.find(({ id }) => id.equals(signature.id));
  if (signer === undefined) throw refuse(`it is signed by another key, ${keyId(signature.id)}`);
  const signed = signature.algorithm === "ED" ? content.blake2b512 : await wholeOf(content);
  if (!verify(null, signed, signer.key, signature.signature)) {
    throw refuse("the signature does not fit the content");
  }
  const global = Buffer.concat([signature.signature, Buffer.from(signature.trustedComment)]);
  if (!verify(null, global, signer.key, signature.globalSignature)) {
    throw refuse("the trusted comment is not the signer's");
  }
  return signature.trustedComment;
}

/** minisign's own trusted comments begin with `timestamp:` and the time of signing in seconds; null without. */
export function signedAtMs(trustedComment: string): number | null {
  const seconds = /(?:^|\s)timestamp:(\d{1,12})(?:\s|$)/.exec(trustedComment)?.[1];
  return seconds === undefined ? null : Number(seconds) * 1000;
}

function wholeOf(content: SignedContent): Promise<Buffer> {
  if (content.sizeBytes <= MOST_OLD_BYTES) return content.whole();
  throw refuse(`an old signature (minisign -l) is taken for at most ${MOST_OLD_BYTES} bytes`);
}

/** Strict: Buffer.from would take anything. */
function base64(text: string, bytes: number): Buffer | null {
  const raw = Buffer.from(text, "base64");
  return raw.length === bytes && raw.toString("base64") === text ? raw : null;
}

/** As minisign shows it. */
function keyId(id: Buffer): string {
  return Buffer.from(id.toReversed()).toString("hex").toUpperCase();
}

function refuse(message: string): Problem {
  return new Problem("signature", message);
}
