/** Verifies what came by what its source demands: a hash, a file of hashes, a signature, or nothing. */
import { readFile } from "node:fs/promises";
import type { FileDigests } from "./durable.ts";
import { parsePublicKey, parseSignature, signedAtMs, verifySignature } from "./minisign.ts";
import { Problem } from "./problem.ts";
import type { Source } from "./settings.ts";
import { hashFor } from "./sha256-file.ts";
import type { Version } from "./source-record.ts";

/** Fetches a small text that belongs to the content. */
export type FetchText = (url: URL, what: string, maxBytes: number) => Promise<string>;

export interface Verified {
  readonly by: Version["verifiedBy"];
  /** When its signer says to have signed it; null where nobody does. */
  readonly signedAtMs: number | null;
}

const MOST_HASHES_BYTES = 1024 * 1024;
const MOST_SIGNATURE_BYTES = 8 * 1024;

/** @throws Problem `checksum`, `signature`, and those of fetching */
export async function verifyContent(
  { url, verify }: Pick<Source, "url" | "verify">,
  file: string,
  digests: FileDigests,
  fetchText: FetchText,
): Promise<Verified> {
  if (verify === "none") return { by: "none", signedAtMs: null };
  if ("sha256" in verify) {
    requireHash(digests, await expectedHash(url, verify.sha256, fetchText));
    return { by: "sha256", signedAtMs: null };
  }
  const signatureUrl = new URL(verify.signature ?? besides(url, ".minisig"));
  const text = await fetchText(signatureUrl, "the signature", MOST_SIGNATURE_BYTES);
  return { by: "minisign", signedAtMs: await verifyFile(file, digests, text, [verify.minisign]) };
}

/** @returns the time of signing, or null @throws Problem `signature` */
export async function verifyFile(
  file: string,
  digests: FileDigests,
  signature: string,
  keys: readonly string[],
): Promise<number | null> {
  const content = { ...digests, whole: () => readFile(file) };
  return signedAtMs(await verifySignature(content, parseSignature(signature), keys.map(parsePublicKey)));
}

/** @throws Problem `checksum` */
export function requireHash({ sha256 }: Pick<FileDigests, "sha256">, expected: string): void {
  if (sha256 !== expected) throw new Problem("checksum", `its hash is ${sha256}, not ${expected}`);
}

async function expectedHash(url: string, sha256: string, fetchText: FetchText): Promise<string> {
  if (/^[0-9a-f]{64}$/.test(sha256)) return sha256;
  const name = new URL(url).pathname.split("/").at(-1) ?? "";
  const hash = hashFor(
    decodeURIComponent(name),
    await fetchText(new URL(sha256), "the hash", MOST_HASHES_BYTES),
  );
  if (hash === null) throw new Problem("checksum", `the file of hashes has none of ${JSON.stringify(name)}`);
  return hash;
}

/** The address of a file that lies beside; a query is the content's alone. */
function besides(url: string, suffix: string): string {
  const beside = new URL(url);
  beside.pathname += suffix;
  beside.search = "";
  return beside.href;
}
