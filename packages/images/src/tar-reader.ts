/**
 * Reads the headers of a tar archive, without its contents, for those who must decide on them.
 *
 * Strict on purpose: what two readers could understand differently (odd numbers, data after the
 * end, unknown record types that carry meaning) is a fault or shown as `unknown`, never skipped.
 * Formats: ustar, pax (POSIX.1-2001) and GNU long names. It unpacks nothing.
 */
import { open, type FileHandle } from "node:fs/promises";
import { ImageFault } from "./image-fault.ts";

export type TarKind =
  | "file"
  | "link"
  | "symlink"
  | "character-device"
  | "block-device"
  | "directory"
  | "fifo"
  | "global"
  | "unknown";

export interface TarEntry {
  readonly path: string;
  readonly kind: TarKind;
  /** Permission bits with setuid, setgid and sticky. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly sizeBytes: number;
  /** Of links; otherwise empty. */
  readonly target: string;
  /** Names of pax records other than path, linkpath, size and times: extended attributes are here. */
  readonly attributes: readonly string[];
}

/** Bytes at an offset; shorter only at the end. */
type ReadAt = (offset: number, length: number) => Promise<Buffer> | Buffer;

const BLOCK = 512;
const LONGEST_EXTENSION = 1024 * 1024;

/** @throws ImageFault image-admission-tar */
export async function* readTarFile(path: string): AsyncGenerator<TarEntry> {
  await using file = await open(path, "r");
  yield* readTar((offset, length) => readExactly(file, offset, length));
}

/** @throws ImageFault image-admission-tar */
export async function* readTar(read: ReadAt): AsyncGenerator<TarEntry> {
  let offset = 0;
  let longPath: string | undefined;
  let longTarget: string | undefined;
  let pax = new Map<string, string>();
  for (;;) {
    const header = await read(offset, BLOCK);
    if (header.length < BLOCK) throw damaged(offset, "it ends without an end mark");
    if (isZero(header)) return requireZeros(read, offset);
    requireChecksum(header, offset);
    offset += BLOCK;
    const flag = String.fromCharCode(header[156] ?? 0);
    const headerSize = parseOctal(header, 124, 12, offset);
    if (flag === "x" || flag === "L" || flag === "K") {
      if (headerSize > LONGEST_EXTENSION) throw damaged(offset, "an extended header is too long");
      const body = await read(offset, headerSize);
      if (body.length < headerSize) throw damaged(offset, "it is cut off");
      if (flag === "x") pax = parsePax(body, offset);
      else if (flag === "L") longPath = cString(body);
      else longTarget = cString(body);
      offset += padded(headerSize);
      continue;
    }
    const sizeBytes = Number(pax.get("size") ?? headerSize);
    const prefix = cString(header.subarray(345, 500));
    const isPosix = header.toString("latin1", 257, 263) === "ustar\0";
    const name = cString(header.subarray(0, 100));
    const short = isPosix && prefix !== "" ? `${prefix}/${name}` : name;
    yield {
      path: pax.get("path") ?? longPath ?? short,
      kind: KINDS[flag] ?? "unknown",
      mode: parseOctal(header, 100, 8, offset) & 0o7777,
      uid: Number(pax.get("uid") ?? parseOctal(header, 108, 8, offset)),
      gid: Number(pax.get("gid") ?? parseOctal(header, 116, 8, offset)),
      sizeBytes,
      target: pax.get("linkpath") ?? longTarget ?? cString(header.subarray(157, 257)),
      attributes: [...pax.keys()].filter((key) => !PLAIN_RECORDS.has(key)),
    };
    offset += padded(sizeBytes);
    longPath = undefined;
    longTarget = undefined;
    pax = new Map();
  }
}

const KINDS: Readonly<Record<string, TarKind>> = {
  "\0": "file",
  "0": "file",
  "1": "link",
  "2": "symlink",
  "3": "character-device",
  "4": "block-device",
  "5": "directory",
  "6": "fifo",
  g: "global",
};

const PLAIN_RECORDS = new Set(["path", "linkpath", "size", "uid", "gid", "mtime", "atime", "ctime"]);

function parsePax(body: Buffer, offset: number): Map<string, string> {
  const records = new Map<string, string>();
  let at = 0;
  while (at < body.length) {
    const space = body.indexOf(0x20, at);
    const length = Number(body.toString("latin1", at, space));
    const end = at + length;
    if (space < 0 || !Number.isSafeInteger(length) || length < 5 || body[end - 1] !== 0x0a) {
      throw damaged(offset, "a pax record is malformed");
    }
    const record = body.toString("utf8", space + 1, end - 1);
    const equals = record.indexOf("=");
    if (equals <= 0) throw damaged(offset, "a pax record is malformed");
    records.set(record.slice(0, equals), record.slice(equals + 1));
    at = end;
  }
  return records;
}

function parseOctal(header: Buffer, at: number, length: number, offset: number): number {
  const text = header
    .toString("latin1", at, at + length)
    .replace(/[\0 ]+$/, "")
    .trim();
  if (text === "") return 0;
  // GNU's binary numbers (high bit set) are for sizes past 8 GiB and ids past 2^21: not for images.
  if (!/^[0-7]+$/.test(text)) throw damaged(offset, "a number is not octal");
  return Number.parseInt(text, 8);
}

function requireChecksum(header: Buffer, offset: number): void {
  let sum = 8 * 0x20;
  for (const [at, byte] of header.entries()) if (at < 148 || at >= 156) sum += byte;
  if (sum !== parseOctal(header, 148, 8, offset)) throw damaged(offset, "a checksum is wrong");
}

/** Some readers stop at the end mark and some go on: nothing may stand behind it. */
async function requireZeros(read: ReadAt, from: number): Promise<void> {
  for (let offset = from; ; offset += 65_536) {
    const rest = await read(offset, 65_536);
    if (!isZero(rest)) throw damaged(offset, "there is data after its end mark");
    if (rest.length < 65_536) return;
  }
}

async function readExactly(file: FileHandle, offset: number, length: number): Promise<Buffer> {
  const buffer = Buffer.alloc(length);
  let filled = 0;
  while (filled < length) {
    const { bytesRead } = await file.read(buffer, filled, length - filled, offset + filled);
    if (bytesRead === 0) break;
    filled += bytesRead;
  }
  return buffer.subarray(0, filled);
}

function cString(bytes: Buffer): string {
  const end = bytes.indexOf(0);
  return bytes.toString("utf8", 0, end < 0 ? bytes.length : end);
}

function padded(sizeBytes: number): number {
  return Math.ceil(sizeBytes / BLOCK) * BLOCK;
}

function isZero(bytes: Buffer): boolean {
  return bytes.every((byte) => byte === 0);
}

function damaged(offset: number, what: string): ImageFault {
  return new ImageFault("image-admission-tar", `the archive is damaged near byte ${offset}: ${what}`);
}
