/** What tells this host from others (machine-id(5)): two sensors on one segment may have the same names. */
import { nullIfMissing } from "../site/read-file.ts";
import { readFile } from "node:fs/promises";

/** Empty where the host has none. */
export async function machineId(): Promise<string> {
  return (await readFile("/etc/machine-id", "utf8").catch(nullIfMissing))?.trim() ?? "";
}
