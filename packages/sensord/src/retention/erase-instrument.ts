/**
 * Erase: what one instrument keeps, its events and its log lines, for an erasure request.
 *
 * The instrument is asked and its answer is shown; what the broker holds goes whether it answers or
 * not. What other instruments took over from its events is theirs, and is erased by asking them.
 */
import { type EraseReply, type Name, subjects } from "@bulkhead/schema";
import { isSensordError } from "../error.ts";
import { ANSWER_MS } from "./records-retention.ts";
import type { RetentionPorts } from "./retention-ports.ts";
import { eraseStream, type StreamMarks } from "./stream-retention.ts";

export type Erased = Omit<EraseReply, "before">;

export interface EraseOrder {
  readonly instrument: Name;
  /** Null: everything. */
  readonly beforeMs: number | null;
  /** The host's clock when it was asked for: what comes in meanwhile is not what it is about. */
  readonly wallMs: number;
  readonly answerMs: number | undefined;
}

/** Throws while the broker is away; then nothing was erased. */
export async function eraseInstrument(
  ports: RetentionPorts,
  marks: StreamMarks,
  { instrument, beforeMs, wallMs, answerMs }: EraseOrder,
): Promise<Erased> {
  const store = await ports.store();
  const records = await eraseRecords(ports, { instrument, beforeMs, wallMs, answerMs });
  const events = await eraseStream(store, marks, subjects.stream(instrument), beforeMs);
  const logLines = await eraseStream(store, marks, subjects.logStream(instrument), beforeMs);
  ports.forgetRefusals(instrument, beforeMs ?? Number.MAX_SAFE_INTEGER);
  return { instrument, complete: records.outcome === "answered", records, events, logLines };
}

/** An event takes a moment from the wire to the store. */
const UNDERWAY_MS = 60_000;
/** Everything: records may carry a time that is ahead. */
const FAR = "9999-12-31T23:59:59.999Z";

async function eraseRecords(
  ports: RetentionPorts,
  { instrument, beforeMs, wallMs, answerMs }: EraseOrder,
): Promise<EraseReply["records"]> {
  if (!ports.isRunning(instrument)) {
    return {
      outcome: "silent",
      removed: null,
      oldest: null,
      detail: "it does not run; start it, and erase again",
    };
  }
  try {
    const before = beforeMs === null ? FAR : new Date(beforeMs).toISOString();
    const { removed, oldest, problem } = await ports.ask(
      instrument,
      { before, reason: "erase" },
      { timeoutMs: answerMs ?? ANSWER_MS },
    );
    if (problem !== undefined) return { outcome: "failed", removed, oldest, detail: problem };
    const left = oldest !== null && Date.parse(oldest) < (beforeMs ?? wallMs - UNDERWAY_MS);
    if (left) return { outcome: "failed", removed, oldest, detail: `it still keeps something of ${oldest}` };
    return { outcome: "answered", removed, oldest, detail: "" };
  } catch (error) {
    if (!isSensordError(error)) throw error;
    const outcome = error.code === "bus-bad-answer" ? "failed" : "silent";
    return { outcome, removed: null, oldest: null, detail: error.message };
  }
}
