/** The rule manager as a process: feeds by Deliver, questions by messages, orders over its API; killed, and right all the same. */
import assert from "node:assert/strict";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import { Manifest } from "@bulkhead/schema";
import { eventually } from "@bulkhead/testkit";
import { parse } from "yaml";
import { RuleManagerStand } from "./rule-manager-stand.ts";

const INSTRUMENTS = join(import.meta.dirname, "../../../instruments");

async function needsOf(name: string): Promise<Manifest["needs"]> {
  return Manifest.parse(parse(await readFile(join(INSTRUMENTS, name, "instrument.yaml"), "utf8"))).needs;
}

async function openStand(stack: AsyncDisposableStack): Promise<RuleManagerStand> {
  const dir = await mkdtemp(join(tmpdir(), "bh-test-rules-"));
  stack.defer(() => rm(dir, { recursive: true, force: true }));
  const needs = { ruleManager: await needsOf("rule-manager"), suricata: await needsOf("suricata") };
  return stack.use(await RuleManagerStand.open(dir, needs));
}

function rules(...sids: readonly number[]): string {
  return sids.map((sid) => `alert tcp any any -> any any (msg:"rule ${sid}"; sid:${sid}; rev:1;)\n`).join("");
}

function range(from: number, to: number): readonly number[] {
  return Array.from({ length: to - from + 1 }, (_, index) => from + index);
}

test("a feed is checked and applied at each IDS; bad ones change nothing; operators steer", async () => {
  await using stack = new AsyncDisposableStack();
  const place = await openStand(stack);
  const { "ids-a": first, "ids-b": second } = place.ids;
  await place.start();
  assert.equal((await place.configure({ disable: ['re:rule 5"'] })).outcome, "applied");
  await place.publish(gzipSync(rules(...range(1, 50))));
  let newest = await place.untilNewest("applied");
  assert.equal(first.sids.length, 49);
  assert.deepEqual(second.sids, first.sids);

  const resource = () =>
    place.stand
      .resources()
      .report()
      .resources.find(({ from }) => from === "feeds")
      ?.receivers.find(({ to }) => to === "rules");
  const former = resource()?.current;
  await place.publish("");
  await eventually("the publisher sees that it was refused", () => resource()?.state === "failed");
  assert.match(resource()?.detail ?? "", /holds no rules/);
  assert.equal(resource()?.lastGood, former);
  assert.equal(await place.untilNewest("applied"), newest);

  await place.publish(`# broken\n${rules(...range(1, 50))}${rules(51).replace("sid", "nonsense; sid")}`);
  newest = await place.untilNewest("refused", newest);
  assert.equal(first.sids.length, 49);
  const { findings, reason } = await place.get("/v1/findings");
  assert.match(String(reason), /^ids-a: found faults; ids-b: found faults$/);
  assert.deepEqual((findings as readonly unknown[])[0], {
    place: { source: "et", file: "et.rules", line: 52 },
    message: "ids-a: unknown rule keyword 'nonsense'.",
  });

  second.refusesToApply = true;
  await place.publish(rules(...range(1, 52)));
  newest = await place.untilNewest("refused", newest);
  assert.equal(first.sids.length, 49, "it went back");
  second.refusesToApply = false;
  assert.equal((await place.post("/v1/apply", "viewer")).status, 403);
  assert.equal((await place.post("/v1/apply")).status, 202);
  newest = await place.untilNewest("applied", newest);
  assert.equal(second.sids.length, 51);

  assert.equal((await place.post("/v1/rollback")).status, 202);
  newest = await place.untilNewest("applied", newest);
  assert.equal(first.sids.length, 49);
  await place.publish(rules(...range(1, 20)));
  await eventually("the feed is held", async () => {
    const { sources } = await place.get("/v1/status");
    return (sources as readonly { readonly state: string }[]).some(({ state }) => state === "held");
  });
  assert.equal(first.sids.length, 49);
  assert.equal((await place.post("/v1/accept-shrink")).status, 202);
  newest = await place.untilNewest("applied", newest);
  assert.equal(second.sids.length, 19);
  const { rollouts } = await place.get("/v1/history");
  assert.deepEqual(
    (rollouts as readonly { readonly who: string; readonly counts: object }[])
      .slice(0, 2)
      .map(({ who, counts }) => [who, counts]),
    [
      ["anna", { added: 0, removed: 30, changed: 0 }],
      ["anna", { added: 0, removed: 2, changed: 0 }],
    ],
  );
});

test("an IDS that was away gets the set; killed at any moment, the rule manager ends with the newest", async () => {
  await using stack = new AsyncDisposableStack();
  const place = await openStand(stack);
  const { "ids-a": first, "ids-b": second } = place.ids;
  let agent = await place.start();
  await place.configure();
  await place.stopIds("ids-b");
  await place.publish(rules(1));
  await eventually("one of two has it", () => first.sids.length === 1);
  await place.startIds("ids-b");
  await agent.kill("SIGKILL");
  agent = await place.start();
  await place.configure();
  await eventually("the other has it, too", () => second.sids.length === 1, 45_000);
  for (let count = 2; count <= 7; count += 1) {
    await place.publish(rules(...range(1, count)));
    // At another moment each time: while it reads, checks, applies, or is done.
    await new Promise((resolve) => setTimeout(resolve, (count - 2) * 40));
    assert.equal(await agent.kill("SIGKILL"), "SIGKILL");
    for (const { sids } of [first, second]) {
      assert.deepEqual(sids, range(1, sids.length), "no IDS has half of a set");
    }
    agent = await place.start();
    await place.configure();
    await eventually(
      `both have ${count} rules`,
      () => first.sids.length === count && second.sids.length === count,
      45_000,
    );
  }
  assert.equal(await agent.kill("SIGTERM"), 0);
  assert.equal(agent.output(), "");
});
