import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { type ReceivedResource, ResourceReceiver } from "./resource-receiver.ts";

const notice = (name: string, version: string, type = "ruleset.feed") => ({
  from: "feeds",
  type,
  name,
  version,
  sha256: "a".repeat(64),
  sizeBytes: 5,
  mediaType: "text/plain",
  path: `feeds/${type}/${name}/${version}`,
  deliveredAt: "2026-01-01T00:00:00.000Z",
});
const V1 = "1-aaaaaaaaaaaa";
const V2 = "2-aaaaaaaaaaaa";

test("one at a time for each type, each version once, and every notice is answered", async () => {
  const receiver = new ResourceReceiver("/resources", () => undefined);
  const begun: string[] = [];
  const go = Promise.withResolvers<void>();
  const handle = async ({ path, version }: ReceivedResource): Promise<void> => {
    begun.push(path);
    if (version === V1) await go.promise;
  };
  receiver.receive({ type: "ruleset.feed", handle });
  receiver.receive({ type: "watch-list", handle });
  const answers = [
    receiver.take(notice("et", V1)),
    receiver.take(notice("et", V2)),
    receiver.take(notice("et", V1)),
    receiver.take(notice("domains", V2, "watch-list")),
  ];
  await turn();
  assert.deepEqual(begun, [], "nothing before the start is over");
  receiver.ready();
  await turn();
  assert.deepEqual(begun, [
    `/resources/feeds/ruleset.feed/et/${V1}`,
    `/resources/feeds/watch-list/domains/${V2}`,
  ]);
  go.resolve();
  assert.deepEqual(new Set((await Promise.all(answers)).map(({ outcome }) => outcome)), new Set(["taken"]));
  assert.equal(begun.length, 3);
});

test("a handler's error is the answer, and so is that there is none", async () => {
  const problems: string[] = [];
  const receiver = new ResourceReceiver("/resources", (text) => problems.push(text));
  receiver.ready();
  receiver.receive({
    type: "ruleset.feed",
    handle: () => {
      throw new Error("line 3: no rule");
    },
  });
  assert.deepEqual(await receiver.take(notice("et", V1)), { outcome: "failed", message: "line 3: no rule" });
  assert.deepEqual(problems, [`ruleset.feed et ${V1} of feeds was not taken: line 3: no rule`]);
  assert.deepEqual(await receiver.take(notice("et", V1, "watch-list")), { outcome: "no-handler" });
  assert.equal((await receiver.take({ ...notice("et", V1), name: "../x" })).outcome, "failed");
});
