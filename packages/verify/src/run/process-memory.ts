/**
 * A process's memory, searched by the host's root (proc(5), mem, maps and pagemap).
 *
 * Invariants: only pages that are there are read, because to read others would make them, at the process's cost; what is
 * found is compared and never kept.
 */
import { type FileHandle, open } from "node:fs/promises";
import { isGone, readIfThere } from "./processes.ts";

const PAGE_BYTES = 4096;
/** Pages that are looked at in one go. */
const PAGES = 1024;

/** Whether one of these lies in memory that the process may write: what was handed in does. */
export async function memoryHolds(pid: number, secrets: readonly Buffer[]): Promise<boolean> {
  const maps = ((await readIfThere(`/proc/${pid}/maps`)) ?? "").split("\n");
  try {
    await using memory = await open(`/proc/${pid}/mem`, "r");
    await using pagemap = await open(`/proc/${pid}/pagemap`, "r");
    for (const line of maps) {
      const found = /^([0-9a-f]+)-([0-9a-f]+) rw/.exec(line);
      if (found === null) continue;
      const range = {
        first: Number.parseInt(found[1] ?? "0", 16),
        end: Number.parseInt(found[2] ?? "0", 16),
      };
      for await (const bytes of presentBytes(memory, pagemap, range))
        if (secrets.some((secret) => bytes.includes(secret))) return true;
    }
    return false;
  } catch (error) {
    if (isGone(error)) return false; // it ended
    throw error;
  }
}

/** Runs of pages that are in memory now; a run is cut where a look ends. */
async function* presentBytes(
  memory: FileHandle,
  pagemap: FileHandle,
  { first, end }: { readonly first: number; readonly end: number },
): AsyncGenerator<Buffer> {
  const entries = Buffer.alloc(PAGES * 8);
  for (let at = first; at < end; at += PAGES * PAGE_BYTES) {
    const pages = Math.min(PAGES, (end - at) / PAGE_BYTES);
    const { bytesRead } = await pagemap.read(entries, 0, pages * 8, (at / PAGE_BYTES) * 8);
    let run = 0;
    for (let page = 0; page <= bytesRead / 8; page += 1) {
      // Bit 63: the page is present.
      const present = page < bytesRead / 8 && (entries.readUInt8(page * 8 + 7) & 0x80) !== 0;
      if (present) run += 1;
      else if (run > 0) {
        const read = await readAt(memory, at + (page - run) * PAGE_BYTES, run * PAGE_BYTES);
        run = 0;
        if (read !== null) yield read;
      }
    }
  }
}

/** Null where it was unmapped meanwhile. */
async function readAt(memory: FileHandle, at: number, length: number): Promise<Buffer | null> {
  try {
    const { buffer, bytesRead } = await memory.read(Buffer.alloc(length), 0, length, at);
    return buffer.subarray(0, bytesRead);
  } catch (error) {
    const code: unknown = error instanceof Error && "code" in error ? error.code : undefined;
    if (code === "EIO" || code === "EFAULT") return null;
    throw error;
  }
}
