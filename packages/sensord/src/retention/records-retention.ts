/**
 * Records retention: has one instrument forget, and measures its volumes from outside where that is
 * sound; both are kept apart, since an instrument may say what it likes.
 */
import type { Name, VolumeUse } from "@bulkhead/schema";
import { isSensordError } from "../error.ts";
import type { RetentionFinding } from "./retention-finding.ts";
import type { RetentionPorts } from "./retention-ports.ts";
import type { RetentionSubject } from "./retention-subject.ts";

/** A large store is purged in steps, and the instrument may be busy. */
export const ANSWER_MS = 120_000;

export interface RecordsLook {
  readonly cutoffMs: number;
  readonly nowMs: number;
  readonly signal: AbortSignal;
  readonly answerMs: number | undefined;
  readonly former: RetentionFinding;
}

export interface RecordsFound {
  readonly finding: RetentionFinding;
  readonly removed: number | null;
  /** Where the measured record lies. */
  readonly record: string;
}

export async function lookAtRecords(
  ports: RetentionPorts,
  subject: RetentionSubject,
  look: RecordsLook,
): Promise<RecordsFound> {
  const { reported, removed } = await ask(ports, subject, look);
  const uses = await measure(ports, subject, look.signal);
  const sizeBytes = uses.length === 0 ? null : uses.reduce((sum, use) => sum + use.usedBytes, 0);
  const { measured, record } = measuredOf(subject, uses, look.former);
  return { removed, record, finding: { ...look.former, reported, measured, sizeBytes } };
}

/** How many were forgotten. They lie in sensord's memory alone. */
export function lookAtRefusals(ports: RetentionPorts, instrument: Name, cutoffMs: number): number {
  return ports.forgetRefusals(instrument, cutoffMs);
}

/** Nothing where warden is away: what was measured last is old, and not to be shown as news. */
async function measure(
  ports: RetentionPorts,
  { owner, fileVolumes }: RetentionSubject,
  signal: AbortSignal,
): Promise<readonly VolumeUse[]> {
  try {
    return await ports.measureVolumes(owner, fileVolumes, signal);
  } catch (error) {
    if (isSensordError(error)) return [];
    throw error;
  }
}

async function ask(
  ports: RetentionPorts,
  { owner, enabled }: RetentionSubject,
  { cutoffMs, nowMs, signal, answerMs, former }: RecordsLook,
): Promise<{ readonly reported: RetentionFinding["reported"]; readonly removed: number | null }> {
  if (!enabled || !ports.isRunning(owner)) {
    const detail = "it does not run, so it cannot forget";
    return { removed: 0, reported: { ...former.reported, outcome: "unasked", detail } };
  }
  const before = new Date(cutoffMs).toISOString();
  try {
    const command = { before, reason: "schedule" } as const;
    const answer = await ports.ask(owner, command, { timeoutMs: answerMs ?? ANSWER_MS, signal });
    const at = new Date(nowMs).toISOString();
    const { problem, oldest, removed } = answer;
    if (problem !== undefined) {
      return { removed, reported: { outcome: "failed", oldest, at, detail: problem } };
    }
    return { removed, reported: { outcome: "answered", oldest, at, detail: "" } };
  } catch (error) {
    if (!isSensordError(error)) throw error;
    const outcome = error.code === "bus-bad-answer" ? "failed" : "silent";
    return { removed: 0, reported: { ...former.reported, outcome, detail: error.message } };
  }
}

function measuredOf(
  { fileVolumes }: RetentionSubject,
  uses: readonly VolumeUse[],
  former: RetentionFinding,
): { readonly measured: RetentionFinding["measured"]; readonly record: string } {
  if (fileVolumes.length === 0) return { measured: former.measured, record: "" };
  const looked = uses.filter(({ id, births }) => fileVolumes.includes(id) && births !== null);
  const oldest = looked
    .flatMap(({ id, births }) => {
      const born = births?.oldest ?? null;
      return born === null ? [] : [{ id, oldest: born }];
    })
    .toSorted((a, b) => (a.oldest < b.oldest ? -1 : 1))[0];
  const partial = looked.some(({ births }) => births?.complete === false) ? ", not all of them" : "";
  const files = looked.reduce((sum, { births }) => sum + (births?.files ?? 0), 0);
  const how =
    looked.length < fileVolumes.length
      ? "not measured: its volume is not mounted, or could not be read"
      : `births of ${files} files${partial}`;
  return {
    measured: { oldest: oldest?.oldest ?? null, how },
    record: oldest === undefined ? "" : `a file in /data/${oldest.id}`,
  };
}
