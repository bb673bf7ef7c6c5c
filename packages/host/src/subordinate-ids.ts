/**
 * The range of subordinate ids from which every instrument gets a base of its own: one line in /etc/subuid and one
 * in /etc/subgid, for root, as the container runtime reads them.
 *
 * Invariants: the line is added only where it is missing, and taken away only where a record says that we added it;
 * all other lines stay byte for byte. @see subuid(5)
 */
import { readTextFile, writeAtomically } from "./atomic-file.ts";
import { changeRecords, readRecords } from "./host-records.ts";

export const SUBORDINATE_LINE = "root:1000000000:655360000";
export const SUBORDINATE_FILES = ["/etc/subuid", "/etc/subgid"] as const;

/** @returns the files that had to be changed */
export async function ensureSubordinateIds(): Promise<readonly string[]> {
  const changed: string[] = [];
  for (const file of SUBORDINATE_FILES) {
    const text = (await readTextFile(file)) ?? "";
    if (hasLine(text)) continue;
    await changeRecords((records) => ({
      ...records,
      subordinateIds: [...new Set([...records.subordinateIds, file])],
    }));
    await writeAtomically(file, addLine(text));
    changed.push(file);
  }
  return changed;
}

/** @returns the files from which our line was taken */
export async function removeSubordinateIds(): Promise<readonly string[]> {
  const { subordinateIds } = await readRecords();
  for (const file of subordinateIds) {
    const text = await readTextFile(file);
    if (text !== undefined && hasLine(text)) await writeAtomically(file, removeLine(text));
  }
  return subordinateIds;
}

export function hasLine(text: string): boolean {
  return text.split("\n").includes(SUBORDINATE_LINE);
}

export function addLine(text: string): string {
  const gap = text === "" || text.endsWith("\n") ? "" : "\n";
  return `${text}${gap}${SUBORDINATE_LINE}\n`;
}

export function removeLine(text: string): string {
  return text
    .split("\n")
    .filter((line) => line !== SUBORDINATE_LINE)
    .join("\n");
}
