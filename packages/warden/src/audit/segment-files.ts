/**
 * Segment files of an audit log: `000000000001.jsonl`, named for the first entry that was written
 * to it, in the order of their names; beside them the signed head and what was set aside.
 */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";

const SEGMENT = /^[0-9]{12}\.jsonl$/;
export const HEAD_FILE = "head.json";

export function segmentName(firstSeq: number): string {
  return `${String(firstSeq).padStart(12, "0")}.jsonl`;
}

/** Oldest first. */
export async function listSegments(dir: string): Promise<readonly string[]> {
  return (await readdir(dir)).filter((name) => SEGMENT.test(name)).toSorted();
}

/** Index of the segment that holds entry `seq`, if any does; the first where all begin behind it. */
export function segmentOf(names: readonly string[], seq: number): number {
  const wanted = segmentName(seq);
  return Math.max(
    0,
    names.findLastIndex((name) => name <= wanted),
  );
}

export function readSegment(dir: string, name: string): Promise<Buffer> {
  return readFile(join(dir, name));
}

/** Lines without their newlines; what stands behind the last newline is no line. */
export function wholeLines(bytes: Buffer): readonly string[] {
  return bytes
    .subarray(0, bytes.lastIndexOf(0x0a) + 1)
    .toString("utf8")
    .split("\n")
    .slice(0, -1);
}
