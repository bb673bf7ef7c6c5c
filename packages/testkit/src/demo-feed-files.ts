/**
 * The feed's files: its keys, which are made once, and what it publishes, each file whole and signed.
 *
 * Layout of the directory, root's alone: `server.pem` (key and certificate), `signing.key`, and `www/` with what is served.
 */
import { mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type DemoCertificate, makeDemoCertificate } from "./demo-certificate.ts";
import { FEED_HOST } from "./demo-feed.ts";
import {
  makeMinisignKey,
  type MinisignKey,
  parseMinisignKey,
  renderMinisignKey,
  signLikeMinisign,
} from "./minisign.ts";

export interface FeedFiles {
  /** Served by its names. */
  readonly directory: string;
  readonly certificate: DemoCertificate;
  readonly signingKey: MinisignKey;
}

/** Makes what is missing. */
export async function openFeedFiles(root: string): Promise<FeedFiles> {
  const directory = join(root, "www");
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const signing = await madeOnce(join(root, "signing.key"), async () => renderMinisignKey(makeMinisignKey()));
  const both = await madeOnce(join(root, "server.pem"), async () => {
    const { key, cert } = await makeDemoCertificate([FEED_HOST]);
    return `${key}${cert}`;
  });
  const split = both.indexOf("-----BEGIN CERTIFICATE-----");
  return {
    directory,
    certificate: { key: both.slice(0, split), cert: both.slice(split) },
    signingKey: parseMinisignKey(signing),
  };
}

/** Publishes a file and its signature; `signedBy` is another key than the feed's where a test wants that. */
export async function publishFile(
  { directory, signingKey }: FeedFiles,
  name: string,
  content: Uint8Array,
  signedBy: MinisignKey = signingKey,
): Promise<void> {
  // The signature first: between the two renames a reader finds the new one with the old file, which is refused.
  const signature = signLikeMinisign(
    signedBy,
    content,
    `timestamp:${Math.floor(Date.now() / 1_000)}\tfile:${name}`,
  );
  await replaceFile(join(directory, `${name}.minisig`), signature);
  await replaceFile(join(directory, name), content);
}

async function madeOnce(file: string, make: () => Promise<string>): Promise<string> {
  try {
    return await readFile(file, "utf8");
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "ENOENT")) throw error;
    const text = await make();
    await replaceFile(file, text);
    return text;
  }
}

async function replaceFile(file: string, content: string | Uint8Array): Promise<void> {
  await writeFile(`${file}.next`, content, { mode: 0o600 });
  await rename(`${file}.next`, file);
}
