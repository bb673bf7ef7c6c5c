import assert from "node:assert/strict";
import { appendFile, mkdir, mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { Slices } from "@bulkhead/sdk";
import type { Contact } from "./contact.ts";
import { ContactStore } from "./contact-store.ts";

const HOUR = 3_600_000;
const CONTACT: Contact = {
  from: "192.0.2.7",
  fromPort: 40_000,
  to: "192.0.2.1",
  toPort: 23,
  bytes: 0,
  data: "",
  durationMs: 1,
};

async function make(t: TestContext, cut: boolean) {
  const dir = await mkdtemp(join(tmpdir(), "bulkhead-contacts-"));
  t.after(() => rm(dir, { recursive: true }));
  return { dir, store: new ContactStore(new Slices(dir, cut, { lengthMs: HOUR })) };
}

test("each contact lies in the file of its slice, and goes to the record", async (t) => {
  const { dir, store } = await make(t, false);
  for (const minute of ["10:10", "10:50", "11:05"])
    assert.equal(await store.add(CONTACT, new Date(`2026-11-25T${minute}:00Z`)), "kept");
  const slice = join(dir, "20261125T100000Z--20261125T110000Z");
  assert.equal((await readFile(join(slice, "contacts.jsonl"), "utf8")).trim().split("\n").length, 2);
  assert.deepEqual(await store.oldest(), new Date("2026-11-25T10:10:00Z"));
  assert.equal(await store.purge(new Date("2026-11-25T10:30:00Z")), 1);
  assert.deepEqual(await store.oldest(), new Date("2026-11-25T10:50:00Z"));
  assert.equal(await store.purge(new Date("2026-11-25T11:00:00Z")), 1);
  assert.deepEqual(await readdir(dir), ["20261125T110000Z--20261125T120000Z"]);
  assert.equal(await store.purge(new Date("2026-11-25T11:00:00Z")), 0);
  assert.equal(await store.purge(new Date("9999-12-31T23:59:59Z")), 1);
  assert.equal(await store.oldest(), null);
});

test("a line that was cut short by a crash holds nothing up", async (t) => {
  const { dir, store } = await make(t, false);
  await store.add(CONTACT, new Date("2026-11-25T10:10:00Z"));
  await appendFile(join(dir, "20261125T100000Z--20261125T110000Z", "contacts.jsonl"), '{"time":"2026-');
  assert.deepEqual(await store.oldest(), new Date("2026-11-25T10:10:00Z"));
  assert.equal(await store.purge(new Date("2026-11-25T12:00:00Z")), 1);
});

test("in a volume that is cut nothing is kept where there is no slice for it", async (t) => {
  const { dir, store } = await make(t, true);
  await mkdir(join(dir, "20261125T100000Z--20261125T110000Z"));
  assert.equal(await store.add(CONTACT, new Date("2026-11-25T09:59:59Z")), "past");
  assert.equal(await store.add(CONTACT, new Date("2026-11-25T11:00:00Z")), "ahead");
  assert.equal(await store.add(CONTACT, new Date("2026-11-25T10:00:00Z")), "kept");
  assert.equal(await store.purge(new Date("2026-11-25T11:00:00Z")), 1);
  assert.deepEqual(await readdir(dir), ["20261125T100000Z--20261125T110000Z"], "the slice is the platform's");
});
