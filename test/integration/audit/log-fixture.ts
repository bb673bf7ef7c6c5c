/** An audit log in a directory of the test's own, as warden has it, and its verifier as the CLI has it. */
import { generateKeyPairSync } from "node:crypto";
import { access, mkdir, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { type AuditVerdict, parseAuditLine, verifyAudit } from "@bulkhead/core";
import type { AuditRecord } from "@bulkhead/schema";
import { AuditLog, type AuditLogOptions } from "../../../packages/warden/src/audit/audit-log.ts";
import { readHead } from "../../../packages/warden/src/audit/head-file.ts";
import { listSegments, readSegment } from "../../../packages/warden/src/audit/segment-files.ts";
import { type SensorKey, sensorKeyOf } from "../../../packages/warden/src/sensor-key.ts";

export interface LogPlace {
  readonly dir: string;
  readonly key: SensorKey;
}

/** A directory whose parent is there and which is not. */
export async function logPlace(t: TestContext): Promise<LogPlace> {
  // In memory where there is such a place: hundreds of logs are opened and flushed.
  const root = await mkdtemp(
    join(await access("/dev/shm").then(() => "/dev/shm", tmpdir), "bulkhead-audit-"),
  );
  t.after(() => rm(root, { recursive: true, force: true }));
  await mkdir(join(root, "volume"));
  return { dir: join(root, "volume", "audit"), key: sensorKeyOf(generateKeyPairSync("ed25519").privateKey) };
}

export async function openLog(place: LogPlace, options: Partial<AuditLogOptions> = {}): Promise<AuditLog> {
  const log = new AuditLog({ ...place, ...options });
  await log.attach();
  return log;
}

export async function verifyLog({ dir, key }: LogPlace): Promise<AuditVerdict> {
  const names = await listSegments(dir);
  return verifyAudit({
    files: await Promise.all(names.map(async (name) => ({ name, bytes: await readSegment(dir, name) }))),
    head: { file: "head.json", value: await readHead(dir) },
    checkSignature: key.signed,
    live: true,
  });
}

/** Every entry that can be read, in the order of the files. */
export async function entriesOf({ dir }: LogPlace): Promise<readonly AuditRecord[]> {
  const texts = await Promise.all((await listSegments(dir)).map((name) => readFile(join(dir, name), "utf8")));
  return texts.flatMap((text) =>
    text.split("\n").flatMap((line) => {
      const parsed = parseAuditLine(line);
      return parsed.kind === "entry" ? [parsed.record] : [];
    }),
  );
}
