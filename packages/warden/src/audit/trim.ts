/**
 * Retention of the audit log: by size alone, never by a clock that may jump.
 *
 * What sensord handed in may hold its share of the log and no more: beyond that its own oldest
 * entries go, in place, so that no flood of it pushes out what warden recorded. When the log is
 * still too large, the oldest segments go whole. Signed checkpoints stand for what went. Each file
 * is replaced at once, and the newest is never touched.
 */
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { checkpointMessage, hashOfRecord, parseAuditLine, renderAuditLine } from "@bulkhead/core";
import type { AuditCheckpoint, AuditWriter } from "@bulkhead/schema";
import type { SensorKey } from "../sensor-key.ts";
import { writeFileAtomically } from "../site/atomic-file.ts";
import { listSegments, readSegment, wholeLines } from "./segment-files.ts";

export interface AuditLimits {
  /** A segment is closed when it is so large. */
  readonly segmentBytes: number;
  /** The whole log. */
  readonly keepBytes: number;
  /** How much of `keepBytes` sensord's entries may hold, from 0 to 1. */
  readonly sensordShare: number;
}

export const AUDIT_LIMITS: AuditLimits = {
  segmentBytes: 4 * 2 ** 20,
  keepBytes: 64 * 2 ** 20,
  sensordShare: 0.5,
};

/** What a trim removed. */
export interface Trimmed {
  readonly from: number;
  readonly to: number;
  readonly removed: Readonly<Record<AuditWriter, number>>;
}

/** Shorter runs cost more than they free: a checkpoint takes about as much as two entries. */
const SHORTEST_RUN = 8;
const SENSORD_LINE = '{"by":"sensord"';

/** Null: nothing had to go. `time`: RFC 3339. */
export async function trimSegments(
  dir: string,
  limits: AuditLimits,
  key: SensorKey,
  time: string,
): Promise<Trimmed | null> {
  const trim = new Trim(dir, key, time);
  const sizes = await trim.measure();
  if (sizes.total <= limits.keepBytes) return null;
  const share = limits.keepBytes * limits.sensordShare;
  for (const name of sizes.closed) {
    if (sizes.sensord <= share) break;
    const freed = await trim.rewrite(name, (line) => line.startsWith(SENSORD_LINE), SHORTEST_RUN);
    sizes.sensord -= freed.sensord;
    sizes.total -= freed.total;
  }
  for (const name of sizes.closed) {
    if (sizes.total <= limits.keepBytes) break;
    sizes.total -= (await trim.rewrite(name, () => true, 1)).total;
  }
  await trim.foldEmpty();
  return trim.trimmed;
}

class Trim {
  readonly #dir: string;
  readonly #key: SensorKey;
  readonly #time: string;
  trimmed: Trimmed | null = null;

  constructor(dir: string, key: SensorKey, time: string) {
    this.#dir = dir;
    this.#key = key;
    this.#time = time;
  }

  async measure(): Promise<{ total: number; sensord: number; readonly closed: readonly string[] }> {
    const names = await listSegments(this.#dir);
    let total = 0;
    let sensord = 0;
    for (const name of names) {
      const lines = wholeLines(await readSegment(this.#dir, name));
      const each = sizesOf(lines);
      total += each.total;
      sensord += each.sensord;
    }
    return { total, sensord, closed: names.slice(0, -1) };
  }

  /** Puts checkpoints in place of runs of lines that may go; returns how many bytes that freed. */
  async rewrite(
    name: string,
    mayGo: (line: string) => boolean,
    shortest: number,
  ): Promise<{ readonly total: number; readonly sensord: number }> {
    const lines = wholeLines(await readSegment(this.#dir, name));
    const kept = this.#withCheckpoints(lines, mayGo, shortest);
    await this.#write(name, kept);
    const before = sizesOf(lines);
    const after = sizesOf(kept);
    return { total: before.total - after.total, sensord: before.sensord - after.sensord };
  }

  /** Segments of which nothing but a checkpoint is left become the first line of the next. */
  async foldEmpty(): Promise<void> {
    const names = await listSegments(this.#dir);
    for (const [index, name] of names.slice(0, -2).entries()) {
      const lines = wholeLines(await readSegment(this.#dir, name));
      const next = names[index + 1];
      if (next === undefined || lines.length !== 1 || !lines[0]?.includes('"checkpoint":')) continue;
      const following = wholeLines(await readSegment(this.#dir, next));
      await this.#write(
        next,
        this.#withCheckpoints([...lines, ...following], () => false, 1),
      );
      // Until now both say the same: the checkpoint stands for itself twice.
      await rm(join(this.#dir, name));
    }
  }

  #withCheckpoints(
    lines: readonly string[],
    mayGo: (line: string) => boolean,
    shortest: number,
  ): readonly string[] {
    const kept: string[] = [];
    let run: Part[] = [];
    const close = (): void => {
      const joins = run.some(({ entry }) => !entry);
      const worth = run.length >= shortest || (joins && run.length >= 2);
      kept.push(
        ...(worth && run.some(({ entry }) => entry || run.length > 1)
          ? [this.#checkpointOf(run)]
          : run.map(({ line }) => line)),
      );
      run = [];
    };
    for (const line of lines) {
      const part = this.#partOf(line);
      if (part === null || (part.entry && !mayGo(line))) {
        close();
        kept.push(line);
        continue;
      }
      const last = run.at(-1)?.span;
      if (last !== undefined && (part.span.from !== last.to + 1 || part.span.prev !== last.hash)) close();
      run.push(part);
    }
    close();
    return kept;
  }

  /** Null: a line that is not as it was written. It stays, and no checkpoint stands for it, so that the verifier names it. */
  #partOf(line: string): Part | null {
    const parsed = parseAuditLine(line);
    if (parsed.kind === "none") return null;
    if (parsed.kind === "entry") {
      const { seq, prev, hash, by } = parsed.record;
      if (hashOfRecord(parsed.record) !== hash) return null;
      const one = (writer: AuditWriter): number => (by === writer ? 1 : 0);
      const removed = { warden: one("warden"), root: one("root"), sensord: one("sensord") };
      return { line, entry: true, span: { from: seq, to: seq, prev, hash, removed } };
    }
    const { checkpoint, signature, key } = parsed.checkpoint;
    if (!this.#key.signed(checkpointMessage(checkpoint), signature, key)) return null;
    return { line, entry: false, span: checkpoint };
  }

  /** One checkpoint for neighbouring entries and checkpoints. */
  #checkpointOf(run: readonly Part[]): string {
    const first = run[0];
    const last = run.at(-1);
    if (first === undefined || last === undefined) throw new TypeError("no checkpoint stands for nothing");
    this.#note(run.filter(({ entry }) => entry).map(({ span }) => span));
    const { from, prev } = first.span;
    const { to, hash } = last.span;
    const removed = run.map(({ span }) => span.removed).reduce(sumOf);
    const checkpoint = { from, to, prev, hash, removed, time: this.#time };
    return renderAuditLine({
      checkpoint,
      key: this.#key.fingerprint,
      signature: this.#key.sign(checkpointMessage(checkpoint)),
    });
  }

  /** Only what goes now counts, and not what earlier checkpoints stand for. */
  #note(gone: readonly Span[]): void {
    for (const { from, to, removed } of gone) {
      const { trimmed } = this;
      this.trimmed = {
        from: Math.min(trimmed?.from ?? from, from),
        to: Math.max(trimmed?.to ?? to, to),
        removed: trimmed === null ? removed : sumOf(trimmed.removed, removed),
      };
    }
  }

  async #write(name: string, lines: readonly string[]): Promise<void> {
    await writeFileAtomically(join(this.#dir, name), lines.map((line) => `${line}\n`).join(""));
  }
}

function sizesOf(lines: readonly string[]): { readonly total: number; readonly sensord: number } {
  let total = 0;
  let sensord = 0;
  for (const line of lines) {
    const sizeBytes = Buffer.byteLength(line) + 1;
    total += sizeBytes;
    if (line.startsWith(SENSORD_LINE)) sensord += sizeBytes;
  }
  return { total, sensord };
}

type Span = Pick<AuditCheckpoint["checkpoint"], "from" | "to" | "prev" | "hash" | "removed">;

interface Part {
  readonly line: string;
  readonly entry: boolean;
  readonly span: Span;
}

function sumOf(a: Span["removed"], b: Span["removed"]): Span["removed"] {
  return { warden: a.warden + b.warden, root: a.root + b.root, sensord: a.sensord + b.sensord };
}
