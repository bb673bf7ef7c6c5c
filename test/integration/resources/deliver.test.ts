/** Deliver and receive, as the SDK and a plain client do it: versions, grants, failures and starts. */
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import type { ReceivedResource } from "@bulkhead/sdk";
import type { InstrumentContext } from "@bulkhead/sdk";
import { eventually } from "@bulkhead/testkit";
import {
  bytesOf,
  FEED,
  GRANT,
  MIB,
  PlainSender,
  resourceStand,
  type ResourceStand,
  untilState,
} from "./resource-stand.ts";

const deliver = (context: InstrumentContext, text: string, name = "et-open") =>
  context.deliver({ type: FEED, name, sizeBytes: text.length, body: bytesOf(text) });

async function publisher(stand: ResourceStand): Promise<InstrumentContext> {
  const ready = Promise.withResolvers<InstrumentContext>();
  await stand.start("feeds", ready.resolve);
  return ready.promise;
}

test("a large resource arrives whole, and both sides are told", async () => {
  await using stand = await resourceStand();
  const got: ReceivedResource[] = [];
  await stand.start("rules", (context) =>
    context.receive({ type: FEED, handle: (resource) => void got.push(resource) }),
  );
  const feeds = await publisher(stand);
  const body = randomBytes(5 * MIB + 17);
  const sha256 = createHash("sha256").update(body).digest("hex");
  const receipt = await feeds.deliver({
    type: FEED,
    name: "et-open.rules",
    sizeBytes: body.length,
    sha256,
    mediaType: "text/plain",
    body: bytesOf(body.subarray(0, 1_000_001), body.subarray(1_000_001)),
  });
  assert.deepEqual(receipt, {
    version: `1-${sha256.slice(0, 12)}`,
    sha256,
    sizeBytes: body.length,
    receivers: ["rules"],
  });
  await untilState(stand, "rules", "taken");
  const [resource] = got;
  assert.ok(resource !== undefined && got.length === 1);
  const { path, deliveredAt, ...told } = resource;
  assert.ok(!Number.isNaN(Date.parse(deliveredAt)));
  assert.deepEqual(told, {
    from: "feeds",
    type: FEED,
    name: "et-open.rules",
    version: receipt.version,
    sha256,
    sizeBytes: body.length,
    mediaType: "text/plain",
  });
  assert.ok((await readFile(path)).equals(body));
  assert.equal((await stat(path)).mode & 0o777, 0o444);
  assert.deepEqual(stand.audit, [
    {
      kind: "resource.delivered",
      subject: "feeds",
      detail: {
        type: FEED,
        name: "et-open.rules",
        version: receipt.version,
        sizeBytes: body.length,
        sha256,
        to: "rules",
      },
    },
  ]);
});

test("current and last good are kept, and the others go", async () => {
  await using stand = await resourceStand();
  const seen: string[] = [];
  await stand.start("rules", (context) =>
    context.receive({
      type: FEED,
      async handle({ path, version }) {
        const text = await stand.read("rules", path.split("/rules/")[1] ?? "");
        seen.push(`${version.split("-")[0]} ${text}`);
        if (text.includes("bad")) throw new Error("line 1: no rule");
      },
    }),
  );
  const feeds = await publisher(stand);
  for (const text of ["good one", "good two", "bad three", "bad four"]) {
    const { version } = await deliver(feeds, text);
    await untilState(stand, "rules", text.startsWith("good") ? "taken" : "failed", version);
  }
  assert.deepEqual(seen, ["1 good one", "2 good two", "3 bad three", "4 bad four"]);
  const [row] = stand.resources().report().resources;
  assert.deepEqual(
    row?.receivers.map(({ current, lastGood, detail }) => [current?.[0], lastGood?.[0], detail]),
    [["4", "2", "line 1: no rule"]],
  );
  await eventually("the others to go", async () => (await stand.files("rules")).length === 2);
  const texts = await Promise.all((await stand.files("rules")).map((path) => stand.read("rules", path)));
  assert.deepEqual(texts, ["good two", "bad four"]);
});

test("one that was down gets it at its start, the last good one before one that it never took", async () => {
  await using stand = await resourceStand();
  const feeds = await publisher(stand);
  const { receivers, version: first } = await deliver(feeds, "one");
  assert.deepEqual(receivers, ["rules"]);
  const told: string[] = [];
  const begin = (context: InstrumentContext): void =>
    context.receive({
      type: FEED,
      handle: ({ version }) => {
        told.push(version.split("-")[0] ?? "");
        if (version !== first) throw new Error("no");
      },
    });
  const rules = await stand.start("rules", begin);
  await untilState(stand, "rules", "taken", first);
  await rules.stop();
  const { version: second } = await deliver(feeds, "two");
  await untilState(stand, "rules", "waiting", second);
  await stand.start("rules", begin);
  await untilState(stand, "rules", "failed", second);
  assert.deepEqual(told, ["1", "1", "2"]);
  // Greeting again does not have it handled again.
  await stand.grant([GRANT, { ...GRANT, from: "other" }]);
  await eventually("a greeting", () => stand.fixture.hellos.filter((name) => name === "rules").length === 3);
  await deliver(feeds, "three");
  await eventually("the third", () => told.at(-1) === "3");
  assert.deepEqual(told, ["1", "1", "2", "3"]);
});

test("a revoked grant takes the copies away, one that is made later gives the current version at once", async () => {
  await using stand = await resourceStand({ grants: [] });
  const feeds = await publisher(stand);
  const told: string[] = [];
  await stand.start("rules", (context) =>
    context.receive({ type: FEED, handle: ({ version }) => void told.push(version) }),
  );
  const { version, receivers } = await deliver(feeds, "one");
  assert.deepEqual(receivers, []);
  assert.deepEqual(await stand.files("rules"), []);
  await stand.grant([GRANT]);
  await untilState(stand, "rules", "taken");
  assert.deepEqual(told, [version]);
  assert.deepEqual(await stand.files("rules"), [`feeds/${FEED}/et-open/${version}`]);
  await stand.grant([]);
  assert.deepEqual(await stand.files("rules"), []);
  const later = await deliver(feeds, "two");
  assert.deepEqual(later.receivers, []);
  assert.deepEqual(told, [version]);
  // The publisher's own current version is kept for whoever comes.
  await stand.grant([{ ...GRANT, to: "other" }]);
  assert.deepEqual(await stand.files("other"), [`feeds/${FEED}/et-open/${later.version}`]);
});

test("one that takes less is not given what is larger, and is shown", async () => {
  await using stand = await resourceStand({ grants: [GRANT, { ...GRANT, to: "other" }] });
  const feeds = await publisher(stand);
  const small = await deliver(feeds, "small");
  assert.deepEqual(small.receivers.toSorted(), ["other", "rules"]);
  const large = await deliver(feeds, "x".repeat(100_000));
  assert.deepEqual(large.receivers, ["rules"]);
  assert.deepEqual(await stand.files("other"), [`feeds/${FEED}/et-open/${small.version}`]);
  const { problems } = stand.resources().report();
  assert.deepEqual(problems, [`${FEED} et-open of feeds is not with other: it takes at most 65536 bytes`]);
});

test("one inode is never shared between two receivers, whose locks would be a channel", async () => {
  await using stand = await resourceStand({ grants: [GRANT, { ...GRANT, to: "other" }] });
  const { version } = await deliver(await publisher(stand), "text");
  const inodes = new Set<number>();
  for (const to of ["rules", "other"]) {
    const path = join(stand.receiversDir, to, "feeds", FEED, "et-open", version);
    inodes.add((await stat(path)).ino);
  }
  assert.equal(inodes.size, 2);
});

test("a plain client delivers in three requests, and a receiver of its own answers", async () => {
  await using stand = await resourceStand();
  const rules = await stand.fixture.client("rules");
  const notices: string[] = [];
  rules.subscribe("cmd.rules.resource", {
    callback: (_error, message) => {
      notices.push(message.json<{ path: string }>().path);
      message.respond('{"outcome":"taken"}');
    },
  });
  await rules.flush();
  const sender = new PlainSender(await stand.fixture.client("feeds"), "feeds");
  const id = await sender.opened({ type: FEED, name: "local", sizeBytes: 5 });
  assert.deepEqual(await sender.chunk(id, 0, "hello"), { ok: true, next: 5 });
  const answer = await sender.close(id);
  assert.ok(answer.ok);
  assert.deepEqual(await sender.close(id), answer, "closing again is answered alike");
  await untilState(stand, "rules", "taken");
  assert.deepEqual(notices, [`feeds/${FEED}/local/${answer.receipt.version}`]);
  assert.equal(await stand.read("rules", notices[0] ?? ""), "hello");
});

test("find: the platform answers who declares it, and nobody else may ask", async () => {
  await using stand = await resourceStand();
  const ready = Promise.withResolvers<InstrumentContext>();
  await stand.start("rules", ready.resolve);
  const rules = await ready.promise;
  assert.deepEqual(await rules.find("downloader"), [
    { name: "feeds", package: "downloader", state: "running" },
  ]);
  const feeds = await publisher(stand);
  await assert.rejects(feeds.find("downloader"), { code: "sdk-find-failed" });
});
