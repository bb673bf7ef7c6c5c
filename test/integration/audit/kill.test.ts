/** Warden's log survives: a kill in the middle of bursts, a disk that fills up. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { generateKeyPairSync } from "node:crypto";
import { once } from "node:events";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { runCommand } from "@bulkhead/testkit";
import { listSegments, segmentName } from "../../../packages/warden/src/audit/segment-files.ts";
import { sensorKeyOf } from "../../../packages/warden/src/sensor-key.ts";
import { entriesOf, logPlace, openLog, verifyLog } from "./log-fixture.ts";

const WRITER = join(import.meta.dirname, "burst-writer.ts");

test("kill -9 in bursts: what was acknowledged is there, and the log verifies", async (t) => {
  const { privateKey } = generateKeyPairSync("ed25519");
  const place = { ...(await logPlace(t)), key: sensorKeyOf(privateKey) };
  const keyFile = join(dirname(place.dir), "key.pem");
  await writeFile(keyFile, privateKey.export({ type: "pkcs8", format: "pem" }), { mode: 0o600 });
  const acknowledged: string[] = [];
  for (let life = 0; life < 3; life += 1) {
    const child = spawn(process.execPath, [WRITER, place.dir, keyFile, `life${life}`], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    t.after(() => child.kill("SIGKILL"));
    let said = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => (said += text));
    const closed = once(child, "close");
    while (said.length < 400) {
      assert.equal(child.exitCode, null, "the writer ended by itself");
      await sleep(5);
    }
    await sleep(life * 7);
    child.kill("SIGKILL");
    await closed;
    acknowledged.push(...said.split("\n").slice(0, -1));
  }
  const log = await openLog(place);
  await log[Symbol.asyncDispose]();
  const verdict = await verifyLog(place);
  assert.deepEqual(verdict.faults, []);
  const there = new Set((await entriesOf(place)).map(({ subject }) => subject));
  assert.deepEqual(
    acknowledged.filter((subject) => !there.has(subject)),
    [],
  );
  assert.ok(acknowledged.length > 60, `${acknowledged.length} were acknowledged`);
});

for (const begun of ["", '{"by":"warden","en'])
  test(`a segment was begun with ${begun.length} bytes, and the head is behind: the log goes on in it`, async (t) => {
    const place = await logPlace(t);
    const headFile = join(place.dir, "head.json");
    const first = await openLog(place);
    for (let i = 0; i < 3; i += 1) await first.writer("warden").append("step", `s${i}`, {});
    await first[Symbol.asyncDispose]();
    const behind = await readFile(headFile, "utf8");
    const second = await openLog(place);
    for (let i = 3; i < 6; i += 1) await second.writer("warden").append("step", `s${i}`, {});
    await second[Symbol.asyncDispose]();
    const next = ((await entriesOf(place)).at(-1)?.seq ?? 0) + 1;
    await writeFile(headFile, behind);
    await writeFile(join(place.dir, segmentName(next)), begun);

    const third = await openLog(place);
    await third.writer("warden").append("step", "s6", {});
    await third[Symbol.asyncDispose]();
    const verdict = await verifyLog(place);
    assert.deepEqual(verdict.faults, []);
    const kinds = (await entriesOf(place)).slice(next - 1).map(({ kind }) => kind);
    assert.deepEqual(kinds, begun === "" ? ["step"] : ["audit.torn", "step"]);
    assert.equal((await listSegments(place.dir)).length, 2);
  });

test("a full disk: orders are refused, holding goes on, and nothing is lost silently", async (t) => {
  const place = await logPlace(t);
  const volume = dirname(place.dir);
  await runCommand("mount", ["-t", "tmpfs", "-o", "size=64k,mode=0700", "tmpfs", volume]);
  let log = null;
  try {
    log = await openLog(place);
    const detail = { text: "x".repeat(490) };
    for (let i = 0; i < 200; i += 1) await log.writer("warden").append("step", `s${i}`, detail);
    assert.match(log.problems()[0]?.message ?? "", /ENOSPC/);
    await assert.rejects(log.writer("root").append("order.start", "ids", {}), { code: "audit-unwritable" });
    await runCommand("mount", ["-o", "remount,size=1m", volume]);
    while (log.problems().length > 0) await sleep(50);
    await log.writer("root").append("order.start", "ids", {});
    await log[Symbol.asyncDispose]();
    log = null;
    const entries = await entriesOf(place);
    assert.deepEqual((await verifyLog(place)).faults, []);
    assert.deepEqual(
      entries.filter(({ kind }) => kind === "step").map(({ subject }) => subject),
      Array.from({ length: 200 }, (_, i) => `s${i}`),
    );
    assert.deepEqual(
      [entries.at(-1)?.kind, entries.filter(({ by }) => by === "root").length],
      ["order.start", 1],
    );
  } finally {
    await log?.[Symbol.asyncDispose]();
    await runCommand("umount", [volume]);
    await mkdir(volume, { recursive: true });
  }
});
