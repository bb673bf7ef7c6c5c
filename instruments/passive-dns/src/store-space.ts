/**
 * Store space: keeps room on the store's own volume for its cleaner, so that a full volume can still
 * be cleaned: deleting rows first writes them to SQLite's log.
 *
 * The database may not grow into the last part of the volume (SQLite's max_page_count), and a reserve
 * file holds some more that is given up where something else filled the volume.
 */
import { closeSync, openSync, rmSync, statfsSync, statSync, writeSync } from "node:fs";
import { dirname } from "node:path";

const MIB = 1024 * 1024;
const LARGEST_RESERVE = 64 * MIB;
const BALLAST_BYTES = 4 * MIB;
/** SQLITE_FULL, also for ENOSPC (sqlite.org/rescode.html); SQLITE_IOERR with what it was that failed in the upper bits. */
const SQLITE_FULL = 13;
const SQLITE_IOERR = 10;
const ENOSPC = "ENOSPC";

export class StoreSpace {
  readonly #ballast: string;

  constructor(databasePath: string) {
    this.#ballast = `${databasePath}.reserve`;
  }

  /** Pages that a database may have on a volume: three quarters of it, of a large one all but 64 MiB. */
  mostPages(pageBytes: number): number {
    const { blocks, bsize } = statfsSync(dirname(this.#ballast));
    const volumeBytes = blocks * bsize;
    return Math.max(1, Math.floor((volumeBytes - Math.min(LARGEST_RESERVE, volumeBytes / 4)) / pageBytes));
  }

  /** Takes the reserve, where there is room for it; true: it is there. */
  take(): boolean {
    if (statSync(this.#ballast, { throwIfNoEntry: false })?.size === BALLAST_BYTES) return true;
    try {
      const file = openSync(this.#ballast, "w", 0o600);
      try {
        const block = Buffer.alloc(64 * 1024);
        for (let written = 0; written < BALLAST_BYTES;) written += writeSync(file, block);
      } finally {
        closeSync(file);
      }
      return true;
    } catch (error) {
      if (!isNoSpace(error)) throw error;
      this.give();
      return false;
    }
  }

  /** Gives the reserve up. */
  give(): void {
    rmSync(this.#ballast, { force: true });
  }
}

/** Whether an operation failed because the volume, or the database's share of it, is full. */
export function isFull(error: unknown): boolean {
  if (isNoSpace(error)) return true;
  const code = error instanceof Error && "errcode" in error ? error.errcode : null;
  if (typeof code !== "number") return false;
  // The low byte is the primary result code. An I/O error of the log on a full volume is one, too.
  return (code & 0xff) === SQLITE_FULL || (code & 0xff) === SQLITE_IOERR;
}

function isNoSpace(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === ENOSPC;
}
