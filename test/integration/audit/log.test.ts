/** The audit log on a disk: cut at any byte, damaged, full, rotated, flooded; nothing goes without being said. */
import assert from "node:assert/strict";
import { appendFile, cp, mkdir, readdir, readFile, rename, rm, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { listSegments, segmentName } from "../../../packages/warden/src/audit/segment-files.ts";
import { entriesOf, type LogPlace, logPlace, openLog, verifyLog } from "./log-fixture.ts";

const SEGMENT = segmentName(1);

test("entries are chained, in order, each with its writer, and readable at once", async (t) => {
  const place = await logPlace(t);
  await using log = await openLog(place);
  await Promise.all(
    Array.from({ length: 300 }, (_, i) => log.writer("warden").append("step", `s${i}`, { i })),
  );
  await log.writer("root").append("order.stop", "ids", {});
  const entries = await entriesOf(place);
  assert.deepEqual(
    entries.map(({ seq }) => seq),
    Array.from({ length: 302 }, (_, i) => i + 1),
  );
  assert.deepEqual(
    entries.slice(1, 301).map(({ subject }) => subject),
    Array.from({ length: 300 }, (_, i) => `s${i}`),
  );
  assert.deepEqual([entries[0]?.kind, entries[301]?.by], ["audit.begin", "root"]);
  const page = await log.read({ after: 299, limit: 2 });
  assert.deepEqual([page.newest, page.entries.map(({ seq }) => seq)], [302, [300, 301]]);
  assert.deepEqual((await log.read({ after: null, limit: 1 })).entries[0]?.subject, "ids");
  const verdict = await verifyLog(place);
  assert.deepEqual([verdict.faults, verdict.entries], [[], 302]);
});

test("a log that is cut at any byte of its last entries goes on, and what was torn is kept and recorded", async (t) => {
  const place = await logPlace(t);
  await (await openLog(place))[Symbol.asyncDispose]();
  const headed = await readFile(join(place.dir, "head.json"));
  const start = (await readFile(join(place.dir, SEGMENT))).length;
  const first = await openLog(place);
  for (const subject of ["one", "größer"]) await first.writer("warden").append("step", subject, {});
  await first[Symbol.asyncDispose]();
  // As it is when a kill came before the head was signed anew.
  await writeFile(join(place.dir, "head.json"), headed);
  const whole = await readFile(join(place.dir, SEGMENT));
  const cuts = Array.from({ length: whole.length - start + 1 }, (_, i) => start + i);
  assert.ok(cuts.length > 400, `${cuts.length} places to cut`);

  const cutAt = async (cut: number): Promise<void> => {
    const torn = { ...place, dir: `${place.dir}.${cut}` };
    await cp(place.dir, torn.dir, { recursive: true });
    await truncate(join(torn.dir, SEGMENT), cut);
    const log = await openLog(torn);
    await log.writer("warden").append("after", "kill", {});
    await log[Symbol.asyncDispose]();
    await assertWentOn(torn, whole.subarray(0, cut));
    await rm(torn.dir, { recursive: true });
  };
  const lane = async (): Promise<void> => {
    for (let cut = cuts.shift(); cut !== undefined; cut = cuts.shift()) await cutAt(cut);
  };
  await Promise.all(Array.from({ length: 8 }, lane));
});

/** What was whole of these bytes is there, what was not is set aside and recorded, and the entry after it is the last. */
async function assertWentOn(place: LogPlace, kept: Buffer): Promise<void> {
  const lines = kept.filter((byte) => byte === 0x0a).length;
  const torn = kept.subarray(kept.lastIndexOf(0x0a) + 1);
  const said = torn.length === 0 ? [] : ["audit.torn"];
  const where = `cut at ${kept.length}`;
  assert.deepEqual(
    (await entriesOf(place)).map(({ kind }) => kind),
    ["audit.begin", "step", "step"].slice(0, lines).concat(said, "after"),
    where,
  );
  assert.deepEqual((await verifyLog(place)).faults, [], where);
  const aside = (await readdir(place.dir)).filter((name) => name.startsWith("torn-"));
  assert.equal(aside.length, said.length, where);
  if (aside[0] === undefined) return;
  assert.ok(aside[0].endsWith(".kept"));
  assert.deepEqual(await readFile(join(place.dir, aside[0])), torn, where);
}

test("what was cut off or damaged before the signed head is never taken for a torn write", async (t) => {
  const place = await logPlace(t);
  const log = await openLog(place);
  for (const subject of ["one", "two", "three"]) await log.writer("warden").append("step", subject, {});
  await log[Symbol.asyncDispose]();
  const sound = `${place.dir}.sound`;
  await rename(place.dir, sound);
  const whole = await readFile(join(sound, SEGMENT));
  const third = whole.indexOf(0x0a, whole.indexOf(0x0a) + 1) + 1;
  const edited = Buffer.from(whole.toString("utf8").replace('"subject":"two"', '"subject":"TWO"'));
  const cases = [
    { name: "cut at a line's end", bytes: whole.subarray(0, third), says: "audit.cut-off", fault: "missing" },
    {
      name: "cut within a line",
      bytes: whole.subarray(0, third + 20),
      says: "audit.damaged",
      fault: "unreadable",
    },
    { name: "edited", bytes: edited, says: "audit.damaged", fault: "edited" },
  ];
  for (const { name, bytes, says, fault } of cases) {
    await rm(place.dir, { recursive: true, force: true });
    await cp(sound, place.dir, { recursive: true });
    await writeFile(join(place.dir, SEGMENT), bytes);
    const again = await openLog(place);
    await again.writer("warden").append("after", "damage", {});
    await again[Symbol.asyncDispose]();
    assert.deepEqual(await readFile(join(place.dir, SEGMENT)), bytes, `${name}: evidence stays as it was`);
    const entries = await entriesOf(place);
    assert.ok(
      entries.some(({ kind }) => kind === says),
      `${name}: ${JSON.stringify(entries.map((e) => e.kind))}`,
    );
    assert.equal(entries.at(-1)?.kind, "after", name);
    const kinds = (await verifyLog(place)).faults.map(({ kind }) => kind as string);
    assert.ok(kinds.includes(fault), `${name}: ${kinds.join(", ")}`);
  }
});

test("a head that is gone is recorded", async (t) => {
  const place = await logPlace(t);
  await (await openLog(place))[Symbol.asyncDispose]();
  await rm(join(place.dir, "head.json"));
  await (await openLog(place))[Symbol.asyncDispose]();
  assert.deepEqual(
    (await entriesOf(place)).map(({ kind }) => kind),
    ["audit.begin", "audit.head-missing"],
  );
});

test("while the volume is not there entries wait, bounded; nothing is written in its place", async (t) => {
  const place = await logPlace(t);
  const volume = join(place.dir, "..");
  const away = `${volume}.away`;
  await rename(volume, away);
  await using log = await openLog(place);
  await log.writer("warden").append("step", "before", {});
  assert.match(log.problems()[0]?.message ?? "", /ENOENT/);
  await assert.rejects(readdir(volume), { code: "ENOENT" });
  await rename(away, volume);
  await log.attach();
  assert.deepEqual(log.problems(), []);
  assert.deepEqual(
    (await entriesOf(place)).map(({ kind }) => kind),
    ["audit.begin", "step"],
  );
  await log.detach();
  // Locked: an order is taken with its entry in memory.
  await log.writer("root").append("order.stop", "ids", {});
  assert.match(log.problems()[0]?.message ?? "", /locked.*wait in memory: 1/);
  await log.attach();
  assert.equal((await entriesOf(place)).at(-1)?.kind, "order.stop");
});

test("what waits is bounded: the loss is counted, said, and recorded when the log is back", async (t) => {
  const place = await logPlace(t);
  const log = new (await import("../../../packages/warden/src/audit/audit-log.ts")).AuditLog(place);
  await Promise.all(Array.from({ length: 2_005 }, () => log.writer("warden").append("step", "s", {})));
  assert.deepEqual(
    log.problems().map(({ code }) => code),
    ["audit-unwritable", "audit-lost"],
  );
  await assert.rejects(log.writer("root").append("order.start", "ids", {}), { code: "audit-unwritable" });
  await log.attach();
  await log[Symbol.asyncDispose]();
  const lost = (await entriesOf(place)).filter(({ kind }) => kind === "audit.lost");
  assert.deepEqual(
    lost.map(({ detail }) => detail["count"]),
    [5],
  );
});

test("rotation keeps the log within its bound, by checkpoints, and all that remains verifies", async (t) => {
  const place = await logPlace(t);
  const limits = { segmentBytes: 4_000, keepBytes: 20_000, sensordShare: 0.5 };
  const log = await openLog(place, { limits });
  for (let i = 0; i < 40; i += 1) {
    await Promise.all(Array.from({ length: 10 }, () => log.writer("warden").append("step", "s", { i })));
  }
  await log[Symbol.asyncDispose]();
  const sizes = await Promise.all(
    (await listSegments(place.dir)).map(async (name) => (await readFile(join(place.dir, name))).length),
  );
  assert.ok(sizes.reduce((a, b) => a + b, 0) < 20_000 + 2 * 4_000 + 3_000, sizes.join(" "));
  const verdict = await verifyLog(place);
  assert.deepEqual(verdict.faults, []);
  assert.ok(verdict.removed > 200);
  assert.equal(verdict.removed + verdict.entries, verdict.last?.seq);
  assert.ok((await entriesOf(place)).some(({ kind }) => kind === "audit.removed"));
  // Who takes the checkpoint away takes the beginning away.
  const [oldest = ""] = await listSegments(place.dir);
  const lines = (await readFile(join(place.dir, oldest), "utf8")).split("\n");
  await writeFile(join(place.dir, oldest), lines.slice(1).join("\n"));
  assert.deepEqual(
    (await verifyLog(place)).faults.map(({ kind, line }) => [kind, line]),
    [["missing", 1]],
  );
});

test("a flood from sensord pushes out its own entries and none of warden's", async (t) => {
  const place = await logPlace(t);
  const limits = { segmentBytes: 16_000, keepBytes: 100_000, sensordShare: 0.5 };
  const unbounded = { burst: 1e9, perSecond: 1e9, entryBytes: 4_096 };
  const log = await openLog(place, { limits, sensordLimits: unbounded });
  for (let i = 0; i < 30; i += 1) {
    await log.writer("warden").append("step", `mine-${i}`, {});
    await Promise.all(
      Array.from({ length: 60 }, (_, n) =>
        log.appendForSensord({ kind: "ui-request", subject: "p", detail: { n } }),
      ),
    );
  }
  await log[Symbol.asyncDispose]();
  const entries = await entriesOf(place);
  const mine = entries.filter(({ subject }) => subject.startsWith("mine-"));
  assert.equal(mine.length, 30, "all of warden's");
  const sensord = entries.filter(({ by }) => by === "sensord");
  assert.ok(sensord.length > 60 && sensord.length < 400, `${sensord.length} of 1800 are kept`);
  assert.equal(sensord.at(-1)?.detail["n"], 59, "the newest");
  assert.deepEqual((await verifyLog(place)).faults, []);
});

test("sensord's rate and sizes are bounded; what is refused is counted, and the count recorded", async (t) => {
  const place = await logPlace(t);
  const log = await openLog(place, { sensordLimits: { burst: 5, perSecond: 0.001, entryBytes: 500 } });
  const entry = (text: string) => ({ kind: "api-call", subject: "person", detail: { text } });
  for (let i = 0; i < 5; i += 1) await log.appendForSensord(entry("ok"));
  for (let i = 0; i < 7; i += 1)
    await assert.rejects(log.appendForSensord(entry("ok")), { code: "audit-rate" });
  await assert.rejects(log.appendForSensord(entry("x".repeat(480))), { code: "audit-entry-too-large" });
  await assert.rejects(log.appendForSensord({ ...entry("x"), by: "root" }), { name: "ZodError" });
  await log[Symbol.asyncDispose]();
  const entries = await entriesOf(place);
  assert.equal(entries.filter(({ by }) => by === "sensord").length, 5);
  const refused = entries.find(({ kind }) => kind === "audit.refused");
  assert.deepEqual(refused?.detail, { from: "sensord", rate: 7, size: 1, shape: 1 });
  assert.equal(refused.by, "warden");
});

test("entries that somebody else appended to the file while warden was away are set aside, not taken over", async (t) => {
  const place = await logPlace(t);
  await (await openLog(place))[Symbol.asyncDispose]();
  await appendFile(join(place.dir, SEGMENT), '{"by":"warden","kind":"forged"}\n');
  await (await openLog(place))[Symbol.asyncDispose]();
  assert.deepEqual(
    (await entriesOf(place)).map(({ kind }) => kind),
    ["audit.begin", "audit.torn"],
  );
  assert.deepEqual((await verifyLog(place)).faults, []);
});

test("an empty directory in place of the log is known for what it is", async (t) => {
  const place = await logPlace(t);
  const log = await openLog(place);
  await log.writer("warden").append("step", "one", {});
  await log[Symbol.asyncDispose]();
  await rm(join(place.dir, SEGMENT));
  await mkdir(place.dir, { recursive: true });
  await (await openLog(place))[Symbol.asyncDispose]();
  const entries = await entriesOf(place);
  assert.deepEqual(
    entries.map(({ seq, kind }) => [seq, kind]),
    [[3, "audit.cut-off"]],
  );
  assert.deepEqual(
    (await verifyLog(place)).faults.map(({ kind }) => kind),
    ["missing"],
  );
});
