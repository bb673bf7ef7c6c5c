/**
 * Ledger file: keeps the ledger's accounts over restarts, in one small JSON file.
 *
 * Written whole beside the former one and renamed over it, so that a reader finds either; nothing
 * is lost by `kill -9` but what was counted since the last write. A file that does not parse is
 * set aside and said so: the ledger then begins anew rather than guess.
 */
import { readFile, rename, writeFile } from "node:fs/promises";
import { LedgerFigures, Name } from "@bulkhead/schema";
import * as z from "zod";
import { SensordError } from "./error.ts";
import { OutsideCount, ToolCount } from "./ledger-count.ts";
import { describeError, type Log } from "./log.ts";

/** All that is known of one tap. */
export const TapAccount = z.strictObject({
  instrument: Name,
  engine: Name,
  outside: OutsideCount,
  tool: ToolCount.nullable(),
  figures: LedgerFigures,
});
export type TapAccount = Readonly<z.infer<typeof TapAccount>>;

const LedgerFile = z.strictObject({ version: z.literal(1), taps: z.array(TapAccount) });

export async function readLedgerFile(file: string, log: Log): Promise<readonly TapAccount[]> {
  let text: string;
  try {
    text = await readFile(file, "utf8");
  } catch (cause) {
    if (isMissing(cause)) return [];
    throw new SensordError("ledger-unreadable", `${file} cannot be read`, { cause });
  }
  try {
    return LedgerFile.parse(JSON.parse(text)).taps;
  } catch (error) {
    log.error("the loss ledger does not parse and is set aside", { file, ...describeError(error) });
    await rename(file, `${file}.broken`);
    return [];
  }
}

/** Throws `ledger-not-kept`. */
export async function writeLedgerFile(file: string, taps: readonly TapAccount[]): Promise<void> {
  const next = `${file}.next`;
  try {
    await writeFile(next, JSON.stringify({ version: 1, taps }), { mode: 0o600 });
    await rename(next, file);
  } catch (cause) {
    throw new SensordError("ledger-not-kept", `${file} cannot be written`, { cause });
  }
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "ENOENT";
}
