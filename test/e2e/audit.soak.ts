/** The audit log as a user has it: what was done is there, and what was done to the record is found. */
import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { AuditRecord } from "@bulkhead/schema";
import { eventually } from "@bulkhead/testkit";
import * as z from "zod";
import { openCli } from "./cli.ts";

const SITE = `apiVersion: bulkhead/v1
sensor: audited
instruments:
  hi: { package: hello }
`;
const Report = z.looseObject({
  ok: z.boolean(),
  copies: z.array(
    z.looseObject({
      faults: z.array(
        z.looseObject({ kind: z.string(), file: z.string(), line: z.int(), seq: z.int().nullable() }),
      ),
    }),
  ),
  differences: z.array(z.looseObject({ kind: z.string(), seq: z.int() })),
});

test("audit: orders, grants and refusals are recorded; the record verifies here and elsewhere, and tampering is found", async (t) => {
  await using cli = await openCli("e2e-audit");
  const directory = await mkdtemp(join(tmpdir(), "bulkhead-e2e-audit-"));
  t.after(() => rm(directory, { recursive: true, force: true }));
  await cli.run(["setup"]);
  await cli.run(["up"]);
  const site = join(directory, "site.yaml");
  await writeFile(site, SITE);
  await cli.run(["apply", site]);
  const first = join(directory, "first.audit");
  await cli.run(["audit", "export", first]);
  await writeFile(site, SITE.replace("package: hello", "package: hello, retention: 20d"));
  await cli.run(["apply", site]);
  await cli.run(["stop", "hi"]);
  await cli.run(["stop", "nobody"], { exitCode: 1 });

  const tail = async (): Promise<readonly AuditRecord[]> =>
    (await cli.lines(["audit", "tail", "--limit", "1000"])).map((line) => AuditRecord.parse(line));
  const entries = await eventually("sensord's own entry of the stop", async () => {
    const found = await tail();
    return found.some((e) => e.kind === "api-call" && e.detail["route"] === "stop") && found;
  });
  const has = (by: string, kind: string, subject: string): boolean =>
    entries.some((e) => e.by === by && e.kind === kind && e.subject === subject);
  assert.ok(has("warden", "audit.begin", "audit"));
  assert.ok(has("sensord", "order.apply", "site"));
  assert.ok(has("sensord", "order.stop", "hi"));
  assert.ok(has("warden", "instrument.start", "hi"));
  assert.ok(has("warden", "containment.checked", "sensor"));
  const granted = entries.find((e) => e.kind === "grant.added" && e.detail["what"] === "retention");
  assert.equal(granted?.subject, "hi");
  assert.deepEqual(
    entries.map((e) => e.seq),
    Array.from(entries, (_, i) => i + 1),
    "numbered without a gap",
  );

  const stop = entries.find((e) => e.kind === "order.stop");
  assert.deepEqual(await cli.json(["audit", "show", String(stop?.seq)]), stop);
  await cli.json(["audit", "show", "999999"], { exitCode: 1 });

  assert.ok(Report.parse(await cli.json(["audit", "verify"])).ok);
  const second = join(directory, "second.audit");
  await cli.run(["audit", "export", second]);
  const { sensorPublicKeyFile } = cli.layout;
  const both = await cli.json(["audit", "verify", first, second, "--key", sensorPublicKeyFile]);
  assert.ok(Report.parse(both).ok);

  const forged = join(directory, "forged.audit");
  const text = await readFile(second, "utf8");
  const line = text.split("\n").findIndex((each) => each.includes('"kind":"order.stop"')) + 1;
  await writeFile(forged, text.replace('"kind":"order.stop","prev"', '"kind":"order.halt","prev"'));
  const found = Report.parse(await cli.json(["audit", "verify", forged], { exitCode: 1 })).copies[0]
    ?.faults[0];
  assert.deepEqual([found?.kind, found?.file, found?.line, found?.seq], ["edited", forged, line, stop?.seq]);
  const words = await cli.run(["audit", "verify", forged], { exitCode: 1 });
  assert.ok(words.stdout.includes(`${forged}:${line}`));
  await cli.json(["audit", "verify", site], { exitCode: 2 });
});
