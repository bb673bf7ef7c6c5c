/**
 * Archives: reads one from its beginning to its end, to know that it is whole and harmless, and copies at most one
 * file out of it to a place that the caller names.
 *
 * Invariants: nothing is written under a name of the archive's; links, devices and whatever else is neither file nor
 * directory are refused; memory stays bounded. Who gets the whole archive may rely on it.
 */
import { createReadStream, createWriteStream } from "node:fs";
import { stat } from "node:fs/promises";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { crc32, createGunzip } from "node:zlib";
import { extract } from "tar-stream";
import { type Entry, openPromise } from "yauzl";
import { EntryNames, shown } from "./entry-names.ts";
import { Problem } from "./problem.ts";
import { UnpackLimit } from "./unpack-limit.ts";

export interface ArchiveOrder {
  readonly file: string;
  readonly format: "gzip" | "tar" | "tar.gz" | "zip";
  readonly maxUnpacked: number;
  readonly maxEntries: number;
  /** Where the wanted part goes: all of gzip, or of an archive the file of that name. */
  readonly copy: { readonly to: string; readonly member: string | null } | null;
}

export interface ArchiveFacts {
  readonly entries: number;
  readonly unpackedBytes: number;
}

/** Takes the content of one file of an archive. */
type TakeFile = (name: string, content: AsyncIterable<Uint8Array>) => Promise<void>;

/** @throws Problem `archive`; what the file system throws */
export async function readArchive(order: ArchiveOrder): Promise<ArchiveFacts> {
  const limit = new UnpackLimit((await stat(order.file)).size, order.maxUnpacked);
  if (order.format === "gzip") {
    const content = limit.through(gunzip(order.file));
    await (order.copy === null ? drain(content) : pipeline(content, createWriteStream(order.copy.to)));
    return { entries: 1, unpackedBytes: limit.bytes };
  }
  const names = new EntryNames(order.maxEntries);
  let found = false;
  const take: TakeFile = async (name, content) => {
    if (order.copy === null || name !== order.copy.member) return drain(content);
    found = true;
    await pipeline(content, createWriteStream(order.copy.to));
  };
  if (order.format === "zip") await readZip(order.file, names, limit, take);
  else {
    const bytes = order.format === "tar" ? createReadStream(order.file) : gunzip(order.file);
    await readTar(limit.through(bytes), names, take);
  }
  if (names.count === 0) throw refuse("it is empty");
  if (order.copy !== null && !found) throw refuse(`it has no file ${shown(order.copy.member ?? "")}`);
  return { entries: names.count, unpackedBytes: limit.bytes };
}

/** Reads a whole tar; `take` gets each file and has to read it to its end. @throws Problem `archive` */
export async function readTar(
  bytes: AsyncIterable<Uint8Array>,
  names: EntryNames,
  take: TakeFile,
): Promise<void> {
  const reader = extract();
  const fed = pipeline(Readable.from(bytes, { objectMode: false }), reader);
  // The loop below ends by the same error; it is its to tell.
  fed.catch(() => undefined);
  try {
    for await (const entry of reader) {
      const { name, type } = entry.header;
      if (type !== "file" && type !== "directory" && type !== "contiguous-file") {
        throw refuse(`${shown(name)} is a ${type ?? "thing of no known kind"}`);
      }
      const clean = names.add(name, type === "directory" ? "directory" : "file");
      // Without an encoding it gives buffers alone, which its types do not say.
      const content = entry as AsyncIterable<Uint8Array>;
      await (type === "directory" ? drain(content) : take(clean, content));
    }
    await fed;
  } catch (error) {
    // Where the bytes themselves were the matter, tar-stream's error is only what follows from it.
    const cause = await fed.then(
      () => error,
      (fault: unknown) => (fault instanceof Problem ? fault : error),
    );
    throw asProblem(cause);
  }
}

async function readZip(file: string, names: EntryNames, limit: UnpackLimit, take: TakeFile): Promise<void> {
  try {
    const zip = await openPromise(file, { strictFileNames: true });
    try {
      for await (const entry of zip.eachEntry()) {
        if (entry.fileName.endsWith("/")) {
          names.add(entry.fileName, "directory");
          continue;
        }
        requirePlainFile(entry);
        const clean = names.add(entry.fileName, "file");
        await take(clean, checked(entry, limit.through(await zip.openReadStreamPromise(entry))));
      }
    } finally {
      zip.close();
    }
  } catch (error) {
    throw asProblem(error);
  }
}

/** The upper half of the attributes is a Unix mode (APPNOTE 4.4.15, as Info-ZIP writes it). */
function requirePlainFile(entry: Entry): void {
  const format = (entry.externalFileAttributes >>> 16) & 0o170000;
  if (format !== 0 && format !== 0o100000) throw refuse(`${shown(entry.fileName)} is no plain file`);
  if (entry.isEncrypted()) throw refuse(`${shown(entry.fileName)} is encrypted`);
  if (!entry.canDecodeFileData())
    throw refuse(`${shown(entry.fileName)} is packed in a way that is not known`);
}

/** yauzl leaves the check sum to its caller. */
async function* checked(entry: Entry, content: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  let sum = 0;
  for await (const chunk of content) {
    sum = crc32(chunk, sum);
    yield chunk;
  }
  if (sum !== entry.crc32) throw refuse(`${shown(entry.fileName)} is damaged`);
}

async function* gunzip(file: string): AsyncGenerator<Uint8Array> {
  const out = createGunzip();
  const fed = pipeline(createReadStream(file), out);
  fed.catch(() => undefined); // the loop below ends by the same error
  try {
    for await (const chunk of out) yield chunk as Buffer; // no encoding was set
  } catch (error) {
    throw asProblem(error);
  }
}

async function drain(content: AsyncIterable<Uint8Array>): Promise<void> {
  for await (const _ of content);
}

/** What zlib, tar-stream and yauzl throw is about the archive; what has a file system's code is not. */
function asProblem(error: unknown): unknown {
  if (error instanceof Problem || !(error instanceof Error)) return error;
  if ("syscall" in error && typeof error.syscall === "string") return error;
  return new Problem("archive", `it is damaged: ${error.message}`, { cause: error });
}

function refuse(message: string): Problem {
  return new Problem("archive", message);
}
