import assert from "node:assert/strict";
import { chown, mkdir, mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { Slices } from "./slices.ts";

const HOUR = 3_600_000;
const NOON = new Date("2026-11-25T12:30:00Z");

async function place(t: TestContext): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), "bulkhead-slices-"));
  t.after(() => rm(dir, { recursive: true }));
  return dir;
}

test("where the platform makes them, a record goes into the slice of its time, or nowhere", async (t) => {
  const dir = await place(t);
  const names = ["20261125T000000Z--20261126T000000Z", "20261124T000000Z--20261125T000000Z"];
  for (const name of [...names, "20261125T120000Z--20261125T130000Z", "lost+found", `${names[0]}.new`])
    await mkdir(join(dir, name));
  const slices = new Slices(dir, true, { lengthMs: HOUR });
  const slice = async (time: string) => {
    const found = await slices.placeOf(new Date(time));
    return found.outcome === "slice" ? found.place.slice : found.outcome;
  };
  assert.equal(await slice("2026-11-25T08:00:00Z"), names[0]);
  assert.equal(await slice("2026-11-25T12:00:00Z"), "20261125T120000Z--20261125T130000Z", "it ends first");
  assert.equal(await slice("2026-11-25T13:00:00Z"), names[0], "an end is not part of a slice");
  assert.equal(await slice("2026-11-23T23:59:59Z"), "past");
  assert.equal(await slice("2026-11-26T00:00:00Z"), "ahead");
  const before = await readdir(dir);
  for (const one of await slices.list()) await slices.drop(one);
  assert.deepEqual(await readdir(dir), before, "ending them is the platform's");
});

test("where the site has a volume whole they are made here", async (t) => {
  const dir = await place(t);
  const slices = await Slices.open(dir, { lengthMs: HOUR });
  assert.equal(slices.cut, false);
  const found = await slices.placeOf(NOON);
  assert.ok(found.outcome === "slice");
  assert.equal(found.place.slice, "20261125T120000Z--20261125T130000Z");
  assert.deepEqual(await slices.placeOf(NOON), found);
  assert.deepEqual(await slices.list(), [found.place]);
  await slices.drop(found.place);
  assert.deepEqual(await readdir(dir), []);
});

test("a directory of somebody else's is cut by the platform", async (t) => {
  const own = await place(t);
  if (process.geteuid?.() === 0) await chown(own, 65_534, 65_534);
  const foreign = process.geteuid?.() === 0 ? own : "/usr";
  assert.equal((await Slices.open(foreign, { lengthMs: HOUR })).cut, true);
});
