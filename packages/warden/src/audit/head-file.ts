/**
 * The signed head: the last entry that surely is on the disk. It is written soon after each flush,
 * the newest alone, and never holds up an append; so it may be a few entries behind after a kill,
 * and never ahead.
 */
import { join } from "node:path";
import { type AuditTip, headMessage, renderCanonical } from "@bulkhead/core";
import { AuditHead } from "@bulkhead/schema";
import type { SensorKey } from "../sensor-key.ts";
import { writeFileAtomically } from "../site/atomic-file.ts";
import { readIfPresent } from "../site/read-file.ts";
import { HEAD_FILE } from "./segment-files.ts";

export class HeadFile {
  readonly #dir: string;
  readonly #key: SensorKey;
  #due: AuditHead["head"] | null = null;
  #writing: Promise<void> | null = null;
  /** Why the head could not be written last; null where it could. */
  trouble: string | null = null;

  constructor(dir: string, key: SensorKey) {
    this.#dir = dir;
    this.#key = key;
  }

  /** @param time RFC 3339 */
  set(tip: AuditTip, time: string): void {
    this.#due = { seq: tip.seq, hash: tip.hash, time };
    this.#writing ??= this.#write();
  }

  /** Resolves when the newest is written, or could not be. */
  async settled(): Promise<void> {
    await this.#writing;
  }

  /** Ends in the same turn in which it finds nothing due: what comes later begins anew. */
  async #write(): Promise<void> {
    await Promise.resolve();
    while (this.#due !== null) {
      const head = this.#due;
      this.#due = null;
      try {
        await writeFileAtomically(join(this.#dir, HEAD_FILE), `${renderCanonical(this.#signed(head))}\n`);
        this.trouble = null;
      } catch (error) {
        this.trouble = error instanceof Error ? error.message : String(error);
      }
    }
    this.#writing = null;
  }

  #signed(head: AuditHead["head"]): AuditHead {
    return { head, key: this.#key.fingerprint, signature: this.#key.sign(headMessage(head)) };
  }
}

/** What the file says, signed or not; null where there is none that can be read. */
export async function readHead(dir: string): Promise<AuditHead | null> {
  const text = await readIfPresent(join(dir, HEAD_FILE));
  if (text === null) return null;
  try {
    return AuditHead.parse(JSON.parse(text));
  } catch {
    return null; // the verifier, and recovery, take it for missing and say so
  }
}
