/**
 * Retention: from a period, the time that counts and what was reported and measured, what is to go
 * and what is kept too long. Pure; `now` is the retention clock's, see retention-clock.ts.
 *
 * A stream's messages are dated by marks (at this sequence it was this late), since the broker
 * stamps them by the host's clock, which may have jumped.
 */
const MINUTE_MS = 60_000;
const SHORTEST_PAUSE_MS = 10_000;
const LONGEST_PAUSE_MS = 60 * MINUTE_MS;
/** A look of a period that is shorter than its own steps must not make a crowd of marks. */
const MOST_MARKS = 512;

/** How often a store is purged: at least 24 times within its period, at most every ten seconds. */
export function purgeEveryMs(periodMs: number): number {
  return Math.min(LONGEST_PAUSE_MS, Math.max(SHORTEST_PAUSE_MS, periodMs / 24));
}

/** What may be older than its period without anybody being at fault: two purges, and the time that one takes. */
export function graceMs(periodMs: number): number {
  return 3 * purgeEveryMs(periodMs);
}

/** What is older than this is to go. */
export function cutoffOf(periodMs: number, nowMs: number): number {
  return nowMs - periodMs;
}

export interface OldestRecord {
  readonly basis: "reported" | "measured";
  readonly oldestMs: number;
  readonly record: string;
}

/** One record that is kept too long. */
export interface Overdue extends OldestRecord {
  readonly ageMs: number;
  readonly periodMs: number;
  /** When it was found first. */
  readonly sinceMs: number;
}

/** What is kept longer than its period and grace, each with its proof. */
export function breachesOf(
  periodMs: number,
  nowMs: number,
  oldest: readonly OldestRecord[],
  former: readonly Overdue[],
): readonly Overdue[] {
  return oldest.flatMap(({ basis, oldestMs, record }) => {
    const ageMs = nowMs - oldestMs;
    if (ageMs <= periodMs + graceMs(periodMs)) return [];
    const sinceMs = former.find((one) => one.basis === basis)?.sinceMs ?? nowMs;
    return [{ basis, record, oldestMs, ageMs, periodMs, sinceMs }];
  });
}

/** At `atMs` of the retention clock the stream's last message was `sequence`. */
export interface StreamMark {
  readonly sequence: number;
  readonly atMs: number;
}

/** The marks with what was seen now; those that say nothing more are thinned out. */
export function addMark(
  marks: readonly StreamMark[],
  mark: StreamMark,
  firstSequence: number,
): readonly StreamMark[] {
  const last = marks.at(-1);
  // Nothing new was stored, or the clock went back: the former mark already says as much.
  const grown =
    last !== undefined && (mark.sequence <= last.sequence || mark.atMs < last.atMs)
      ? marks
      : [...marks, mark];
  // Of those before the first message one stays: it says what the first cannot be older than.
  const before = grown.filter(({ sequence }) => sequence < firstSequence);
  const useful = [...before.slice(-1), ...grown.filter(({ sequence }) => sequence >= firstSequence)];
  return useful.length <= MOST_MARKS ? useful : useful.filter((_, index) => index % 2 === 0);
}

/** The last sequence of which it is certain that it was stored before the cut-off; 0 for none. */
export function lastSequenceBefore(marks: readonly StreamMark[], cutoffMs: number): number {
  return marks.reduce(
    (found, { sequence, atMs }) => (atMs < cutoffMs ? Math.max(found, sequence) : found),
    0,
  );
}

/** When a message was stored: its stamp, within what the marks leave possible. */
export function storedAtMs(
  message: { readonly sequence: number; readonly stampMs: number },
  marks: readonly StreamMark[],
): number {
  const earliest = marks.findLast(({ sequence }) => sequence < message.sequence)?.atMs ?? -Infinity;
  const latest = marks.find(({ sequence }) => sequence >= message.sequence)?.atMs ?? Infinity;
  return Math.min(Math.max(message.stampMs, earliest), latest);
}
