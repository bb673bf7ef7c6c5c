/**
 * Audit store: the chain on the disk. An append is whole or not at all: entries are chained,
 * written and flushed together, and a failed write is cut off again before the next.
 *
 * One writer, one call at a time: the log that owns it (audit-log.ts) sees to that.
 */
import { type FileHandle, open } from "node:fs/promises";
import { dirname, join } from "node:path";
import { type AuditTip, parseAuditLine, renderAuditLine, sealEntry } from "@bulkhead/core";
import type { AuditEntry, AuditPage, AuditReading, AuditRecord, AuditWriter } from "@bulkhead/schema";
import type { SensorKey } from "../sensor-key.ts";
import { HeadFile } from "./head-file.ts";
import { recover } from "./recover.ts";
import { listSegments, readSegment, segmentName, segmentOf, wholeLines } from "./segment-files.ts";
import { type AuditLimits, type Trimmed, trimSegments } from "./trim.ts";

/** One entry on its way in. `time`: RFC 3339, of when it happened. */
export interface Draft {
  readonly by: AuditWriter;
  readonly time: string;
  readonly entry: AuditEntry;
}

export class AuditStore {
  readonly #dir: string;
  readonly #key: SensorKey;
  readonly #limits: AuditLimits;
  readonly #head: HeadFile;
  #tip: AuditTip;
  #segment: { readonly name: string; readonly sizeBytes: number };
  #file: FileHandle | null = null;
  /** Why old entries could not be removed; null where they could. */
  #trimTrouble: string | null = null;

  private constructor(
    dir: string,
    key: SensorKey,
    limits: AuditLimits,
    found: Awaited<ReturnType<typeof recover>>,
  ) {
    this.#dir = dir;
    this.#key = key;
    this.#limits = limits;
    this.#head = new HeadFile(dir, key);
    this.#tip = found.tip;
    this.#segment = found.segment;
  }

  /** Recovers what is there; what was found is the first that is recorded. `time`: RFC 3339, now. */
  static async open(dir: string, key: SensorKey, limits: AuditLimits, time: string): Promise<AuditStore> {
    const found = await recover(dir, key.signed);
    const store = new AuditStore(dir, key, limits, found);
    try {
      const begins = { kind: "audit.begin", subject: "audit", detail: { key: key.fingerprint } };
      const first = found.tip.seq === 0 ? [begins] : [];
      const drafts = [...first, ...found.findings].map((entry) => ({ by: "warden" as const, time, entry }));
      if (drafts.length > 0) await store.append(drafts);
      await store.#head.settled();
      await found.recorded();
      return store;
    } catch (error) {
      await store.close();
      throw error;
    }
  }

  get newest(): number {
    return this.#tip.seq;
  }

  /** What is not as it should be although entries are written; null where all is well. */
  get trouble(): string | null {
    return this.#head.trouble ?? this.#trimTrouble;
  }

  /** On the disk when it resolves. When it throws nothing of it is in the log. */
  async append(drafts: readonly Draft[]): Promise<void> {
    const newest = drafts.at(-1);
    if (newest === undefined) return;
    let tip = this.#tip;
    const lines = drafts.map(({ entry, by, time }) => {
      const record = sealEntry(entry, by, time, tip);
      tip = record;
      return `${renderAuditLine(record)}\n`;
    });
    const bytes = Buffer.from(lines.join(""));
    const file = (this.#file ??= await this.#open());
    const { sizeBytes } = this.#segment;
    try {
      await writeAll(file, bytes, sizeBytes);
      await file.datasync();
    } catch (error) {
      // Nothing of it may be found at the next opening: it was not acknowledged, and may come again.
      const isCut = await file.truncate(sizeBytes).then(
        () => true,
        () => false,
      );
      await this.#closeFile();
      if (isCut) throw error;
      throw new Error("a write failed, and what was written of it could not be cut off", { cause: error });
    }
    this.#segment = { ...this.#segment, sizeBytes: sizeBytes + bytes.length };
    this.#tip = { seq: tip.seq, hash: tip.hash };
    this.#head.set(this.#tip, newest.time);
  }

  /** Begins a new segment where this one is full, and removes what is too old; null where nothing went. */
  async rotate(time: string): Promise<Trimmed | null> {
    if (this.#segment.sizeBytes < this.#limits.segmentBytes) return null;
    await this.#closeFile();
    this.#segment = { name: segmentName(this.#tip.seq + 1), sizeBytes: 0 };
    try {
      const trimmed = await trimSegments(this.#dir, this.#limits, this.#key, time);
      this.#trimTrouble = null;
      return trimmed;
    } catch (error) {
      this.#trimTrouble = `old entries cannot be removed: ${error instanceof Error ? error.message : String(error)}`;
      return null;
    }
  }

  async read({ after, limit }: AuditReading): Promise<AuditPage> {
    const newest = this.#tip.seq;
    const from = after ?? Math.max(0, newest - limit);
    const entries: AuditRecord[] = [];
    if (from >= newest) return { entries, newest };
    const names = await listSegments(this.#dir);
    for (let at = segmentOf(names, from + 1); at < names.length && entries.length < limit; at += 1) {
      for (const line of wholeLines(await readSegment(this.#dir, names[at] ?? ""))) {
        const parsed = parseAuditLine(line);
        if (parsed.kind !== "entry" || parsed.record.seq <= from || parsed.record.seq > newest) continue;
        entries.push(parsed.record);
        if (entries.length === limit) break;
      }
    }
    return { entries, newest };
  }

  async close(): Promise<void> {
    await this.#closeFile();
    await this.#head.settled();
  }

  async #open(): Promise<FileHandle> {
    const path = join(this.#dir, this.#segment.name);
    const isNew = this.#segment.sizeBytes === 0;
    // A first write that failed may have left the file.
    const file = await open(path, isNew ? "w+" : "r+", 0o600);
    try {
      await file.truncate(this.#segment.sizeBytes);
      if (isNew) await syncDirectory(dirname(path));
      return file;
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  async #closeFile(): Promise<void> {
    const file = this.#file;
    this.#file = null;
    await file?.close();
  }
}

async function writeAll(file: FileHandle, bytes: Buffer, from: number): Promise<void> {
  for (let at = 0; at < bytes.length;) {
    const { bytesWritten } = await file.write(bytes, at, bytes.length - at, from + at);
    at += bytesWritten;
  }
}

async function syncDirectory(path: string): Promise<void> {
  const folder = await open(path, "r");
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}
