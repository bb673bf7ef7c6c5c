/**
 * Last good configuration, kept on the volume among its rules, so that a sensor whose container
 * starts anew while the wanted configuration is refused goes on with what ran before. It becomes
 * current with its rules, in one step.
 */
import { open, readFile } from "node:fs/promises";
import { join } from "node:path";
import { currentRules, type RuleFile } from "@bulkhead/sdk";
import * as z from "zod";
import { Settings } from "./settings.ts";

const LastGood = z.strictObject({
  settings: Settings,
  files: z.array(z.strictObject({ name: z.string(), path: z.string() })),
});

export interface LastGood {
  readonly settings: Settings;
  readonly files: readonly RuleFile[];
}

const FILE = "last-good.json";

/** @param dir the directory that is about to become the current one; `files` as they are named then */
export async function keepLastGood(dir: string, lastGood: LastGood): Promise<void> {
  await using file = await open(join(dir, FILE), "w");
  await file.writeFile(JSON.stringify(lastGood));
  await file.sync();
}

/** Null where there is none, or none that this version understands. */
export async function readLastGood(rulesDir: string): Promise<LastGood | null> {
  try {
    const text = await readFile(join(currentRules(rulesDir), FILE), "utf8");
    return LastGood.safeParse(JSON.parse(text)).data ?? null;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT" || error instanceof SyntaxError) return null;
    throw error;
  }
}
