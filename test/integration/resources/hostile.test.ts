/** Senders that lie, dawdle, flood, leave, or want what is not theirs; each is refused, told why, and leaves nothing. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdir, mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { promisify } from "node:util";
import type { InstrumentContext } from "@bulkhead/sdk";
import { eventually } from "@bulkhead/testkit";
import { bytesOf, FEED, KIB, MIB, PlainSender, resourceStand, type ResourceStand } from "./resource-stand.ts";

const run = promisify(execFile);
const CHUNK = 128 * KIB;

async function nothingIsLeft(stand: ResourceStand): Promise<void> {
  await eventually("nothing to be left", async () => {
    const incoming = await readdir(join(stand.spoolDir, "incoming"));
    return incoming.length === 0 && stand.resources().report().incoming.length === 0;
  });
  assert.deepEqual(stand.resources().report().resources, []);
  assert.deepEqual(await stand.files("rules"), []);
}

function refusalOf(answer: { readonly ok: boolean; readonly refusal?: string }): string | undefined {
  return answer.ok ? "none" : answer.refusal;
}

test("what is announced is held against what was declared", async () => {
  await using stand = await resourceStand({ limits: { names: 1, bytes: 2 * MIB } });
  const sender = new PlainSender(await stand.fixture.client("feeds"), "feeds");
  const good = { type: FEED, name: "a", sizeBytes: 1 };
  const cases: readonly (readonly [object, string])[] = [
    [{ ...good, type: "suricata.alert" }, "not-declared"],
    [{ ...good, type: "*" }, "invalid"],
    [{ ...good, type: "../x" }, "invalid"],
    [{ ...good, sizeBytes: 8 * MIB + 1 }, "too-large"],
    [{ ...good, type: "watch-list", sizeBytes: KIB + 1 }, "too-large"],
    [{ ...good, sizeBytes: 3 * MIB }, "quota"],
    [{ ...good, sizeBytes: -1 }, "invalid"],
    [{ ...good, sizeBytes: 2 ** 60 }, "invalid"],
    [{ ...good, sizeBytes: "1" }, "invalid"],
    [{ ...good, sha256: "abc" }, "invalid"],
    [{ ...good, mediaType: "text" }, "invalid"],
    [{ ...good, from: "rules" }, "invalid"],
    ...[
      "../x",
      "..",
      ".",
      "",
      "a/b",
      "a\0",
      "/etc/passwd",
      "A",
      "x".repeat(65),
      "-a",
      "a..b",
      "resources.json.next/",
    ].map((name) => [{ ...good, name }, "invalid"] as const),
    [[], "invalid"],
  ];
  for (const [request, refusal] of cases) {
    assert.equal(refusalOf(await sender.open(request)), refusal, JSON.stringify(request).slice(0, 120));
  }
  await nothingIsLeft(stand);
  // Who declares no publishing does not even get past the gate.
  const rules = await stand.fixture.client("rules");
  await assert.rejects(rules.request("svc.rules.deliver", JSON.stringify(good), { timeout: 2_000 }));
  await assert.rejects(rules.request("svc.feeds.deliver", JSON.stringify(good), { timeout: 2_000 }));
  assert.equal(stand.fixture.bus.counts("rules").refusedBy["publish-subject"], 2);
  // The limit of names is one: the same name again is no further one.
  const [first, second] = [await sender.opened(good), await sender.open({ ...good, name: "b" })];
  assert.equal(refusalOf(second), "quota");
  await sender.chunk(first, 0, "x");
  assert.ok((await sender.close(first)).ok);
  assert.equal(refusalOf(await sender.open({ ...good, name: "b" })), "quota");
  assert.equal(refusalOf(await sender.open(good)), "none");
});

test("lies about size and hash, and chunks that do not fit", async () => {
  await using stand = await resourceStand();
  const sender = new PlainSender(await stand.fixture.client("feeds"), "feeds");
  const open = (sizeBytes: number, more: object = {}) =>
    sender.opened({ type: FEED, name: "a", sizeBytes, ...more });
  const more = await open(4);
  assert.equal(refusalOf(await sender.chunk(more, 0, "12345")), "oversized");
  assert.equal(refusalOf(await sender.chunk(more, 0, "1234")), "oversized", "told again");
  assert.equal(refusalOf(await sender.close(more)), "oversized");
  const less = await open(4);
  await sender.chunk(less, 0, "123");
  assert.equal(refusalOf(await sender.close(less)), "incomplete");
  const other = await open(4, { sha256: createHash("sha256").update("1234").digest("hex") });
  await sender.chunk(other, 0, "4321");
  assert.equal(refusalOf(await sender.close(other)), "hash-differs");
  const large = await open(2 * CHUNK);
  assert.equal(refusalOf(await sender.chunk(large, 0, Buffer.alloc(CHUNK + 1))), "invalid");
  const odd = await open(4);
  assert.deepEqual(await sender.chunk(odd, 2, "34"), {
    ok: false,
    refusal: "out-of-order",
    message: "the next byte is 0",
    next: 0,
  });
  assert.deepEqual(await sender.chunk(odd, 0, "12"), { ok: true, next: 2 });
  assert.deepEqual(
    await sender.chunk(odd, 0, "xx"),
    { ok: true, next: 2 },
    "a repeated chunk changes nothing",
  );
  assert.equal(refusalOf(await sender.chunk(odd, 1, "yyy")), "out-of-order");
  assert.equal(refusalOf(await sender.close(odd)), "incomplete");
  await nothingIsLeft(stand);
});

test("another's delivery, one that is none, and too many at one time", async () => {
  await using stand = await resourceStand();
  const connection = await stand.fixture.client("feeds");
  const sender = new PlainSender(connection, "feeds");
  const id = await sender.opened({ type: FEED, name: "a", sizeBytes: 4 });
  const thief = new PlainSender(await stand.fixture.client("other"), "other");
  await assert.rejects(thief.chunk(id, 0, "evil"), /no such delivery/);
  await assert.rejects(thief.close(id), /no such delivery/);
  await assert.rejects(sender.chunk("0123456789abcdef", 0, "x"), /no such delivery/);
  const second = await sender.opened({ type: FEED, name: "b", sizeBytes: 4 });
  assert.equal(refusalOf(await sender.open({ type: FEED, name: "c", sizeBytes: 4 })), "busy");
  // Beginning anew takes the place of what was not finished.
  const again = await sender.opened({ type: FEED, name: "b", sizeBytes: 4 });
  assert.equal(refusalOf(await sender.chunk(second, 0, "x")), "aborted");
  assert.deepEqual(await sender.chunk(again, 0, "x"), { ok: true, next: 1 });
  // A flood of one delivery's chunks stays within its window.
  const before = stand.fixture.bus.counts("feeds").refusedBy.delivery ?? 0;
  for (let at = 0; at < 200; at += 1)
    connection.publish(`svc.feeds.deliver.${id}.${at}`, "x".repeat(64 * KIB), {
      reply: "_INBOX.feeds.nobody",
    });
  connection.publish(`svc.feeds.deliver.${id}.0`, "no reply subject");
  await eventually(
    "refusals",
    () => (stand.fixture.bus.counts("feeds").refusedBy.delivery ?? 0) >= before + 150,
  );
  await assert.rejects(sender.close(id), /no such delivery/, "it is over, and was told so often enough");
  assert.deepEqual(await stand.files("rules"), []);
});

test("one that stalls is ended and told; one that is slow is not", async () => {
  await using stand = await resourceStand({ limits: { stallMs: 400, longestMs: 1_500 } });
  const sender = new PlainSender(await stand.fixture.client("feeds"), "feeds");
  const stalled = await sender.opened({ type: FEED, name: "stalled", sizeBytes: 4 });
  const slow = await sender.opened({ type: FEED, name: "slow", sizeBytes: 4 });
  for (let at = 0; at < 4; at += 1) {
    assert.deepEqual(await sender.chunk(slow, at, "x"), { ok: true, next: at + 1 });
    await delay(200);
  }
  assert.ok((await sender.close(slow)).ok);
  assert.equal(refusalOf(await sender.chunk(stalled, 0, "x")), "stalled");
  assert.deepEqual(stand.refused, ["feeds stalled"]);
  // Bytes come all the time, and it takes too long all the same.
  const endless = await sender.opened({ type: FEED, name: "endless", sizeBytes: 100 });
  let last: string | undefined = "none";
  for (let at = 0; at < 100 && last === "none"; at += 1) {
    last = refusalOf(await sender.chunk(endless, at, "x"));
    await delay(50);
  }
  assert.equal(last, "stalled");
  await eventually("nothing under way", () => stand.resources().report().incoming.length === 0);
});

test("what has no room is refused before a byte is taken, and a disk that is full ends a delivery alone", async (t) => {
  await using full = await resourceStand({ limits: { reserveBytes: 2 ** 60 } });
  const sender = new PlainSender(await full.fixture.client("feeds"), "feeds");
  assert.equal(refusalOf(await sender.open({ type: FEED, name: "a", sizeBytes: 1 })), "no-space");
  if (process.getuid?.() !== 0) return t.diagnostic("only root can make a small file system");
  const spoolDir = await mkdtemp(join(tmpdir(), "bulkhead-small-"));
  await run("mount", ["-t", "tmpfs", "-o", "size=2m", "bulkhead-test", spoolDir]);
  try {
    await mkdir(join(spoolDir, "receivers"));
    await using stand = await resourceStand({ spoolDir, limits: { reserveBytes: -64 * MIB } });
    const feeds = new PlainSender(await stand.fixture.client("feeds"), "feeds");
    const small = await feeds.opened({ type: FEED, name: "a", sizeBytes: CHUNK });
    await feeds.chunk(small, 0, Buffer.alloc(CHUNK));
    assert.ok((await feeds.close(small)).ok);
    // Nothing is set aside here, so that the disk itself says no: while it comes, and when it is copied.
    const large = await feeds.opened({ type: FEED, name: "b", sizeBytes: 3 * MIB });
    let last: string | undefined = "none";
    for (let at = 0; last === "none"; at += CHUNK)
      last = refusalOf(await feeds.chunk(large, at, Buffer.alloc(CHUNK)));
    assert.equal(last, "no-space");
    const copied = await feeds.opened({ type: FEED, name: "a", sizeBytes: 9 * CHUNK });
    for (let at = 0; at < 9 * CHUNK; at += CHUNK) await feeds.chunk(copied, at, Buffer.alloc(CHUNK, 1));
    const answer = await feeds.close(copied);
    assert.ok(answer.ok);
    assert.deepEqual(answer.receipt.receivers, []);
    const [row] = stand.resources().report().resources;
    assert.deepEqual(
      row?.receivers.map(({ state, detail, current }) => [state, detail, current?.[0]]),
      [["not-there", "there is no space for it", "1"]],
    );
    assert.equal((await stand.files("rules")).length, 1, "the old version, whole");
  } finally {
    await run("umount", [spoolDir]);
    await rm(spoolDir, { recursive: true });
  }
});

test("a lost connection costs time and no byte; a restart of the platform ends it, and nothing is left", async () => {
  await using stand = await resourceStand();
  const ready = Promise.withResolvers<InstrumentContext>();
  await stand.start("feeds", ready.resolve);
  const feeds = await ready.promise;
  const half = Promise.withResolvers<void>();
  const goOn = Promise.withResolvers<void>();
  async function* body(): AsyncGenerator<Uint8Array> {
    yield Buffer.alloc(3 * CHUNK, 1);
    half.resolve();
    await goOn.promise;
    yield Buffer.alloc(3 * CHUNK, 2);
  }
  const delivered = feeds.deliver({ type: FEED, name: "a", sizeBytes: 6 * CHUNK, body: body() });
  await half.promise;
  const crashed = stand.fixture.broker.crash();
  goOn.resolve();
  await crashed;
  const { sha256 } = await delivered;
  const whole = Buffer.concat([Buffer.alloc(3 * CHUNK, 1), Buffer.alloc(3 * CHUNK, 2)]);
  assert.equal(sha256, createHash("sha256").update(whole).digest("hex"));

  const began = Promise.withResolvers<void>();
  const restarted = Promise.withResolvers<void>();
  async function* interrupted(): AsyncGenerator<Uint8Array> {
    yield Buffer.alloc(2 * CHUNK);
    began.resolve();
    await restarted.promise;
    yield Buffer.alloc(2 * CHUNK);
  }
  const lost = feeds.deliver({ type: FEED, name: "a", sizeBytes: 4 * CHUNK, body: interrupted() });
  lost.catch(() => undefined); // looked at below
  await began.promise;
  await eventually("a part to have come", () => stand.resources().report().incoming.length === 1);
  await stand.restart();
  assert.deepEqual(await readdir(join(stand.spoolDir, "incoming")), []);
  restarted.resolve();
  await assert.rejects(lost, { code: "sdk-delivery-interrupted" });
  const [row] = stand.resources().report().resources;
  assert.equal(row?.sha256, sha256, "the old version is the current one");
});

test("a delivery holds up no event and no health report of its own sender", async () => {
  await using stand = await resourceStand();
  const ready = Promise.withResolvers<InstrumentContext>();
  await stand.start("feeds", ready.resolve);
  const feeds = await ready.promise;
  const delivered = feeds.deliver({
    type: FEED,
    name: "a",
    sizeBytes: 8 * MIB,
    body: bytesOf(...Array.from({ length: 64 }, () => Buffer.alloc(CHUNK))),
  });
  for (let reports = 0; reports < 20; reports += 1) {
    feeds.health.set({ detail: `report ${reports}` });
    feeds.health.flush();
    await delay(5);
  }
  await delivered;
  const { refusedBy, throttledMs } = stand.fixture.bus.counts("feeds");
  assert.deepEqual(refusedBy, {});
  assert.ok(throttledMs < 1_000, `waited ${throttledMs} ms`);
  await eventually("the last report", () =>
    stand.fixture.health.some(({ report }) => report.detail === "report 19"),
  );
});
