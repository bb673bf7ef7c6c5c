/**
 * Audit log: what was changed, refused and found, one JSON line each, appended and flushed by
 * warden alone. Entries that sensord hands in are marked as its own.
 */
import { mkdir, open } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { InstallationLayout } from "@bulkhead/schema";
import type { Audit } from "./hold/ports.ts";

export class AuditLog {
  readonly #file: string;

  constructor(layout: InstallationLayout) {
    this.#file = join(layout.wardenDir, "audit.jsonl");
  }

  /** The log as one writer sees it; every entry says whose it is. */
  writer(by: "warden" | "sensord" | "root"): Audit {
    return {
      append: async (kind, subject, detail) => {
        await mkdir(dirname(this.#file), { recursive: true });
        const file = await open(this.#file, "a", 0o600);
        try {
          await file.appendFile(
            `${JSON.stringify({ time: new Date().toISOString(), by, kind, subject, detail })}\n`,
          );
          await file.datasync();
        } finally {
          await file.close();
        }
      },
    };
  }
}
