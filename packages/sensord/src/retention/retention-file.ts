/**
 * Retention file: what must outlive sensord for periods to be counted rightly: the clock's past, how
 * late it was at which sequence of each stream, and which erasures were done.
 *
 * Written whole beside the former one and renamed over it. One that does not parse is set aside and
 * said so; then nothing is deleted too early, and what was there is kept for up to one more period.
 */
import { readFile, rename, writeFile } from "node:fs/promises";
import { KeptClock, Name } from "@bulkhead/schema";
import * as z from "zod";
import { SensordError } from "../error.ts";
import { describeError, type Log } from "../log.ts";

const StreamMarks = z.strictObject({
  stream: z.string(),
  created: z.string(),
  marks: z.array(z.strictObject({ sequence: z.int(), atMs: z.number() })),
});

const RetentionState = z.strictObject({
  version: z.literal(1),
  clock: KeptClock.nullable(),
  streams: z.array(StreamMarks),
  /** Of each instrument, the last destruction of its data after which its streams were purged. */
  erasures: z.record(Name, z.string()),
});
export type RetentionState = z.infer<typeof RetentionState>;

const NOTHING: RetentionState = { version: 1, clock: null, streams: [], erasures: {} };

/** Throws `retention-unreadable`. */
export async function readRetentionFile(file: string, log: Log): Promise<RetentionState> {
  let text: string;
  try {
    text = await readFile(file, "utf8");
  } catch (cause) {
    if (cause instanceof Error && "code" in cause && cause.code === "ENOENT") return NOTHING;
    throw new SensordError("retention-unreadable", `${file} cannot be read`, { cause });
  }
  try {
    return RetentionState.parse(JSON.parse(text));
  } catch (error) {
    log.error("the retention state does not parse and is set aside", { file, ...describeError(error) });
    await rename(file, `${file}.broken`);
    return NOTHING;
  }
}

/** Throws `retention-not-kept`. */
export async function writeRetentionFile(file: string, state: RetentionState): Promise<void> {
  const next = `${file}.next`;
  try {
    await writeFile(next, JSON.stringify(state), { mode: 0o600 });
    await rename(next, file);
  } catch (cause) {
    throw new SensordError("retention-not-kept", `${file} cannot be written`, { cause });
  }
}
