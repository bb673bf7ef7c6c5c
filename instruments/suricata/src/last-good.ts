/**
 * Last good configuration, kept on the volume beside its rules, so that a sensor whose container
 * starts anew while the wanted configuration is refused goes on with what ran before.
 */
import { readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { RuleFile } from "@bulkhead/sdk";
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

export async function keepLastGood(rulesDir: string, lastGood: LastGood): Promise<void> {
  const file = join(rulesDir, "last-good.json");
  await writeFile(`${file}.next`, JSON.stringify(lastGood));
  await rename(`${file}.next`, file);
}

/** Null where there is none, or none that this version understands. */
export async function readLastGood(rulesDir: string): Promise<LastGood | null> {
  try {
    const text = await readFile(join(rulesDir, "last-good.json"), "utf8");
    return LastGood.safeParse(JSON.parse(text)).data ?? null;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT" || error instanceof SyntaxError) return null;
    throw error;
  }
}
