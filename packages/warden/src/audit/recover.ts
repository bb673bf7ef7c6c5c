/**
 * Recovery: brings an audit log's directory back to where it can be written to, after whatever
 * ended the last writer.
 *
 * Nothing is dropped: a line that a kill or a power cut left behind the signed head is set aside
 * as it is, and an entry says so. What stands before the head was surely whole once: if it is not
 * now, it stays as it was found, the log goes on behind it in a new segment, and the verifier
 * will name the place.
 */
import { createHash } from "node:crypto";
import { mkdir, open, readdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { AUDIT_GENESIS, type AuditTip, headMessage, parseAuditLine, verifyAudit } from "@bulkhead/core";
import type { AuditEntry, AuditHead } from "@bulkhead/schema";
import { writeFileAtomically } from "../site/atomic-file.ts";
import { readHead } from "./head-file.ts";
import { listSegments, readSegment, segmentName } from "./segment-files.ts";

export interface Recovered {
  readonly tip: AuditTip;
  /** The segment to go on with, and how much of it stands; one that is not there yet begins with the next entry. */
  readonly segment: { readonly name: string; readonly sizeBytes: number };
  /** What was found and must be recorded. */
  readonly findings: readonly AuditEntry[];
  /** To be called once the findings are recorded. */
  readonly recorded: () => Promise<void>;
}

/** True: the sensor's own key signed it. */
type IsOurs = (message: Uint8Array, signature: string, key: string) => boolean;

/** The directory's parent must be there: while the volume is not, nothing is written in its place. */
export async function recover(dir: string, isOurs: IsOurs): Promise<Recovered> {
  await mkdir(dir, { mode: 0o700 }).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== "EEXIST") throw error;
  });
  await removeLeftovers(dir);
  const found = await readHead(dir);
  const head =
    found !== null && isOurs(headMessage(found.head), found.signature, found.key) ? found.head : null;
  const names = await listSegments(dir);
  const findings: AuditEntry[] = [];
  const last = names.at(-1);
  const state =
    last === undefined
      ? { tip: AUDIT_GENESIS, segment: { name: segmentName(1), sizeBytes: 0 }, damaged: false }
      : await recoverSegment({ dir, name: last, former: names.at(-2), head, findings, isOurs });
  if (head === null && last !== undefined) findings.push(said("audit.head-missing", { seq: state.tip.seq }));
  if (head !== null && state.tip.seq < head.seq) {
    findings.push(said("audit.cut-off", { from: state.tip.seq + 1, to: head.seq }));
  }
  const tip = head !== null && state.tip.seq < head.seq ? { seq: head.seq, hash: head.hash } : state.tip;
  const fresh = state.damaged || tip.seq !== state.tip.seq;
  const pending = await pendingAside(dir);
  for (const { name, sizeBytes, sha256 } of pending) {
    findings.push(said("audit.torn", { file: name, sizeBytes, sha256 }));
  }
  return {
    tip,
    segment: fresh ? { name: segmentName(tip.seq + 1), sizeBytes: 0 } : state.segment,
    findings,
    recorded: async () => {
      for (const { name } of pending)
        await rename(join(dir, name), join(dir, name.replace(PENDING, ".kept")));
    },
  };
}

interface SegmentState {
  readonly tip: AuditTip;
  readonly segment: Recovered["segment"];
  readonly damaged: boolean;
}

async function recoverSegment(parts: {
  readonly dir: string;
  readonly name: string;
  /** The segment before it. */
  readonly former: string | undefined;
  readonly head: AuditHead["head"] | null;
  readonly findings: AuditEntry[];
  readonly isOurs: IsOurs;
}): Promise<SegmentState> {
  const { dir, name, former, head, findings, isOurs } = parts;
  const bytes = await readSegment(dir, name);
  const sound = soundPrefix(bytes, isOurs);
  const segment = { name, sizeBytes: sound.sizeBytes };
  // One that was begun and has no entry yet goes on from the one before.
  const tip = sound.sizeBytes === 0 && former !== undefined ? await tipOf(dir, former, isOurs) : sound.tip;
  if (sound.sizeBytes === bytes.length) return { tip, segment, damaged: false };
  const partOfLine = bytes.indexOf(0x0a, sound.sizeBytes) === -1;
  // Behind the head nothing was promised. Without a head, only a line that is not whole can be a torn one.
  if (head === null ? partOfLine : tip.seq >= head.seq) {
    await setAside(dir, name, tip.seq + 1, bytes, sound.sizeBytes);
    return { tip, segment, damaged: false };
  }
  findings.push(said("audit.damaged", { file: name, seq: tip.seq + 1, fromByte: sound.sizeBytes }));
  return { tip: lastReadable(bytes, tip), segment, damaged: true };
}

/** How far a segment is sound by itself: lines that are whole, and each chained to the one before. */
function soundPrefix(bytes: Buffer, isOurs: IsOurs): { readonly tip: AuditTip; readonly sizeBytes: number } {
  let tip: AuditTip = AUDIT_GENESIS;
  let at = 0;
  while (at < bytes.length) {
    const end = bytes.indexOf(0x0a, at);
    if (end === -1) break;
    const line = bytes.subarray(at, end + 1);
    const from = at === 0 ? startOf(line) : tip;
    const verdict = verifyAudit({
      files: [{ name: "", bytes: line }],
      head: { file: "", value: null },
      checkSignature: isOurs,
      live: false,
      from,
    });
    if (verdict.faults.some(({ kind }) => kind !== "head-missing") || verdict.last === null) break;
    tip = verdict.last;
    at = end + 1;
  }
  return { tip, sizeBytes: at };
}

/** The last entry of a segment that was closed. */
async function tipOf(dir: string, name: string, isOurs: IsOurs): Promise<AuditTip> {
  const bytes = await readSegment(dir, name);
  return lastReadable(bytes, soundPrefix(bytes, isOurs).tip);
}

/** What the first line of a segment says that it is chained to. */
function startOf(line: Buffer): AuditTip {
  const parsed = parseAuditLine(line.subarray(0, -1).toString("utf8"));
  if (parsed.kind === "entry") return { seq: parsed.record.seq - 1, hash: parsed.record.prev };
  if (parsed.kind === "none") return AUDIT_GENESIS;
  const { from, prev } = parsed.checkpoint.checkpoint;
  return { seq: from - 1, hash: prev };
}

/** The highest entry that can be read in a damaged segment: a number is never given twice. */
function lastReadable(bytes: Buffer, sound: AuditTip): AuditTip {
  let tip = sound;
  for (const text of bytes.toString("utf8").split("\n")) {
    const line = parseAuditLine(text);
    if (line.kind === "entry" && line.record.seq > tip.seq)
      tip = { seq: line.record.seq, hash: line.record.hash };
  }
  return tip;
}

const PENDING = ".pending";

/** Copies what stands behind `sizeBytes`, then cuts it off: a kill in between leaves it twice, never not at all. */
async function setAside(
  dir: string,
  name: string,
  seq: number,
  bytes: Buffer,
  sizeBytes: number,
): Promise<void> {
  const torn = bytes.subarray(sizeBytes);
  const id = createHash("sha256").update(torn).digest("hex").slice(0, 8);
  await writeFileAtomically(join(dir, `torn-${String(seq).padStart(12, "0")}-${id}${PENDING}`), torn);
  const file = await open(join(dir, name), "r+");
  try {
    await file.truncate(sizeBytes);
    await file.sync();
  } finally {
    await file.close();
  }
}

async function pendingAside(dir: string) {
  const names = (await readdir(dir)).filter((name) => name.startsWith("torn-") && name.endsWith(PENDING));
  return Promise.all(
    names.toSorted().map(async (name) => {
      const bytes = await readSegment(dir, name);
      return { name, sizeBytes: bytes.length, sha256: createHash("sha256").update(bytes).digest("hex") };
    }),
  );
}

/** A rename that did not happen leaves what was written beside. */
async function removeLeftovers(dir: string): Promise<void> {
  for (const name of await readdir(dir))
    if (name.endsWith(".new")) await rm(join(dir, name), { force: true });
}

function said(kind: string, detail: AuditEntry["detail"]): AuditEntry {
  return { kind, subject: "audit", detail };
}
