/**
 * Copies of an audit log, as they lie on a disk: the log's own directory, or an export. Read as
 * they are, and trusted in nothing: the verifier judges them.
 */
import { readdir, readFile } from "node:fs/promises";
import { basename, join } from "node:path";
import type { AuditFile } from "@bulkhead/core";
import { AuditExport, AuditHead } from "@bulkhead/schema";
import { CliError } from "../error.ts";

export interface LogCopy {
  readonly name: string;
  readonly files: readonly AuditFile[];
  readonly head: { readonly file: string; readonly value: AuditHead | null };
  /** The public key that it brings itself (PEM); null for a directory. */
  readonly publicKey: string | null;
  readonly live: boolean;
}

const SEGMENT = /^[0-9]{12}\.jsonl$/;
const HEAD_FILE = "head.json";
/** Rotation may take a file away between listing and reading. */
const ATTEMPTS = 5;

/** @throws CliError `audit-absent` where no log lies in the directory, `file-unreadable` */
export async function readLogDirectory(dir: string): Promise<LogCopy> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      // The head first: what is written meanwhile lies behind it.
      const head = headOf(await readFile(join(dir, HEAD_FILE), "utf8").catch(emptyIfAbsent));
      const names = (await readdir(dir)).filter((name) => SEGMENT.test(name)).toSorted();
      if (names.length === 0 && head === null) throw absent(dir);
      const files = names.map(async (name) => ({
        name: join(dir, name),
        bytes: await readFile(join(dir, name)),
      }));
      return {
        name: dir,
        files: await Promise.all(files),
        head: { file: join(dir, HEAD_FILE), value: head },
        publicKey: null,
        live: true,
      };
    } catch (error) {
      if (error instanceof CliError) throw error;
      const code = error instanceof Error && "code" in error ? error.code : "";
      if (code === "ENOENT" && attempt < ATTEMPTS) continue;
      if (code === "ENOENT" || code === "ENOKEY") throw absent(dir, error);
      throw new CliError("file-unreadable", `${dir}: ${String(error)}`, { cause: error, exitCode: 2 });
    }
  }
}

/** @throws CliError `file-unreadable`, `audit-no-export` */
export async function readExport(file: string): Promise<LogCopy> {
  const bytes = await readFile(file).catch((cause: Error) => {
    throw new CliError("file-unreadable", `${file}: ${cause.message}`, { cause, exitCode: 2 });
  });
  const end = bytes.indexOf(0x0a);
  const header = AuditExport.safeParse(parsedOrNull(bytes.subarray(0, Math.max(0, end)).toString("utf8")));
  if (!header.success) {
    const advice = "accepted: a file that `bulkhead audit export` wrote, or the directory of a log";
    throw new CliError("audit-no-export", `${file} is no export of an audit log`, { advice, exitCode: 2 });
  }
  const { head, publicKey } = header.data;
  return {
    name: file,
    files: [{ name: file, bytes: bytes.subarray(end + 1), firstLine: 2 }],
    head: { file, value: head },
    publicKey,
    live: false,
  };
}

/** The log up to its signed head, in one file. @throws CliError `audit-absent` for a log without a head */
export function renderExport(copy: LogCopy, installation: string, publicKey: string): Buffer {
  const head = copy.head.value;
  if (head === null) {
    throw new CliError("audit-absent", `${basename(copy.head.file)} is missing: the log has no signed end`, {
      advice: "see: sudo bulkhead audit verify",
    });
  }
  const header = { export: "bulkhead-audit/v1", installation, publicKey, head } satisfies AuditExport;
  const parts = copy.files.map(({ bytes }, index) =>
    index === copy.files.length - 1 ? upTo(Buffer.from(bytes), head.head.seq) : bytes,
  );
  return Buffer.concat([Buffer.from(`${JSON.stringify(header)}\n`), ...parts]);
}

/** Without the entries that came after the head was signed. */
function upTo(bytes: Buffer, seq: number): Buffer {
  let end = bytes.lastIndexOf(0x0a) + 1;
  while (end > 0) {
    const start = bytes.lastIndexOf(0x0a, end - 2) + 1;
    const line = parsedOrNull(bytes.subarray(start, end).toString("utf8"));
    const after = typeof line === "object" && line !== null && "seq" in line && Number(line.seq) > seq;
    if (!after) break;
    end = start;
  }
  return bytes.subarray(0, end);
}

function headOf(text: string): AuditHead | null {
  const head = AuditHead.safeParse(parsedOrNull(text));
  return head.success ? head.data : null;
}

/** A head that is gone is for the verifier to say; one that cannot be read is no word about the log. */
function emptyIfAbsent(error: unknown): string {
  if (error instanceof Error && "code" in error && error.code === "ENOENT") return "";
  throw error;
}

function parsedOrNull(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null; // what is no JSON is no header, head or entry: the callers say so
  }
}

function absent(dir: string, cause?: unknown): CliError {
  return new CliError("audit-absent", `no audit log lies in ${dir}`, {
    advice: "is the sensor up, and its vault unlocked? see: sudo bulkhead vault status",
    cause,
  });
}
