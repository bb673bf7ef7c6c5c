/**
 * Reads a feed as it was delivered: a .rules file, plain or gzipped, or a gzipped tar of them.
 *
 * Invariants: nothing of an archive is written anywhere, and its names are labels; what is larger
 * than the limits, damaged or cut short is refused whole. A tar's other files are passed over.
 */
import { createReadStream } from "node:fs";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createGunzip } from "node:zlib";
import { errorText } from "@bulkhead/sdk";
import { extract } from "tar-stream";
import type { RuleText } from "../ruleset/parse-file.ts";

export type FeedContent =
  | { readonly kind: "rules"; readonly files: readonly RuleText[] }
  | { readonly kind: "refused"; readonly reason: string };

export interface FeedLimits {
  /** Of all that an archive holds, unpacked. */
  readonly totalBytes: number;
  readonly entries: number;
}

export interface FeedSource {
  readonly path: string;
  /** Name of the source in findings. */
  readonly source: string;
  /** What its file is called where the feed is one file. */
  readonly file: string;
}

const LIMITS: FeedLimits = { totalBytes: 128 * 1024 * 1024, entries: 10_000 };
const GZIP = [0x1f, 0x8b];
/** `ustar` in the first header of a tar (POSIX.1-2001). */
const TAR_MARK = { at: 257, bytes: "ustar" };
const HEAD_BYTES = 512;
const LONGEST_NAME = 200;

export async function readFeed(feed: FeedSource, limits: FeedLimits = LIMITS): Promise<FeedContent> {
  try {
    const raw = await withHead(createReadStream(feed.path), GZIP.length);
    const isGzip = GZIP.every((byte, index) => raw.head[index] === byte);
    const opened = isGzip ? gunzip(raw.chunks) : raw.chunks;
    const plain = await withHead(limited(opened, limits.totalBytes), HEAD_BYTES);
    const { at, bytes } = TAR_MARK;
    const isTar = plain.head.toString("latin1", at, at + bytes.length) === bytes;
    const files = isTar
      ? await readTar(plain.chunks, feed.source, limits)
      : [{ source: feed.source, file: feed.file, text: await textOf(plain.chunks) }];
    return files.length > 0 ? { kind: "rules", files } : refused("it holds no .rules file");
  } catch (error) {
    if (error instanceof FeedTooLarge) return refused(error.message);
    // What is wrong with bytes comes from zlib and tar; a file that cannot be read is another matter.
    if (error instanceof Error && "syscall" in error) throw error;
    return refused(`it is damaged or cut short: ${errorText(error)}`);
  }
}

class FeedTooLarge extends Error {}

function refused(reason: string): FeedContent {
  return { kind: "refused", reason };
}

async function* limited(chunks: AsyncIterable<Buffer>, mostBytes: number): AsyncGenerator<Buffer> {
  let bytes = 0;
  for await (const chunk of chunks) {
    bytes += chunk.length;
    if (bytes > mostBytes) throw new FeedTooLarge(`it holds more than ${mostBytes} bytes`);
    yield chunk;
  }
}

/** The first bytes, and all of them again. */
async function withHead(
  chunks: AsyncIterable<Buffer>,
  wanted: number,
): Promise<{ readonly head: Buffer; readonly chunks: AsyncIterable<Buffer> }> {
  const source = chunks[Symbol.asyncIterator]();
  const first: Buffer[] = [];
  for (let bytes = 0; bytes < wanted;) {
    const { value, done } = await source.next();
    if (done === true) break;
    first.push(value);
    bytes += value.length;
  }
  const head = Buffer.concat(first);
  async function* all(): AsyncGenerator<Buffer> {
    yield head;
    for (;;) {
      const { value, done } = await source.next();
      if (done === true) return;
      yield value;
    }
  }
  return { head, chunks: all() };
}

async function* gunzip(chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  const out = createGunzip();
  const fed = pipeline(Readable.from(chunks, { objectMode: false }), out);
  fed.catch(() => undefined); // the loop below ends by the same error
  for await (const chunk of out) yield chunk as Buffer; // no encoding was set
}

async function readTar(
  chunks: AsyncIterable<Buffer>,
  source: string,
  limits: FeedLimits,
): Promise<readonly RuleText[]> {
  const reader = extract();
  const fed = pipeline(Readable.from(chunks, { objectMode: false }), reader);
  fed.catch(() => undefined); // told below
  const files: RuleText[] = [];
  let entries = 0;
  try {
    for await (const entry of reader) {
      const { name, type } = entry.header;
      entries += 1;
      if (entries > limits.entries) throw new FeedTooLarge(`it holds more than ${limits.entries} files`);
      const isRules = type === "file" && name.endsWith(".rules");
      if (isRules) files.push({ source, file: label(name), text: await textOf(entry) });
      else entry.resume();
    }
    await fed;
  } catch (error) {
    // Where the bytes were the matter, the reader's error is only what follows from it.
    throw await fed.then(
      () => error,
      (fault: unknown) => (error instanceof FeedTooLarge ? error : fault),
    );
  }
  return files;
}

function label(name: string): string {
  const plain = name.replace(/^(\.?\/)+/, "").replaceAll(/[^\x20-\x7e]/g, "?");
  return plain.slice(-LONGEST_NAME);
}

async function textOf(chunks: AsyncIterable<unknown>): Promise<string> {
  const parts: Buffer[] = [];
  for await (const chunk of chunks) parts.push(chunk as Buffer); // no encoding was set
  return Buffer.concat(parts).toString("utf8");
}
