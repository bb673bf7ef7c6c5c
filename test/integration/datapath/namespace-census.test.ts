/**
 * The census on real namespaces: who is looked at, and how often.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { makeNamespace } from "@bulkhead/testkit";
import { type Commands, hostCommands } from "../../../packages/warden/src/commands.ts";
import { NamespaceCensus } from "../../../packages/warden/src/datapath/namespace-census.ts";

const MINUTE_MS = 60_000;

test("what nobody marked is left alone after a minute, and looked at again", async () => {
  await using stranger = await makeNamespace();
  const census = censusOf(stranger.name);
  const marks = async () => (await census.take()).map(({ tag }) => tag);

  assert.deepEqual(await marks(), []);
  census.nowMs += MINUTE_MS;
  assert.deepEqual(await marks(), []);
  assert.equal(census.looks(), 2, "its maker may not have marked it yet");
  await marks();
  assert.equal(census.looks(), 2, "a stranger");

  await stranger.ip("link", "set", "lo", "alias", "bulkhead engine x capture");
  census.nowMs += 11 * MINUTE_MS;
  assert.deepEqual(await marks(), ["bulkhead engine x capture"]);
  assert.deepEqual(await marks(), ["bulkhead engine x capture"]);
  assert.equal(census.looks(), 4, "what is marked is read each time");
});

test("another namespace under a stranger's name is looked at at once", async () => {
  const first = await makeNamespace();
  const { name } = first;
  const census = censusOf(name);
  {
    await using _ = first;
    await census.take();
    census.nowMs += MINUTE_MS;
    await census.take();
    await census.take();
    assert.equal(census.looks(), 2);
  }
  await using second = await makeNamespace({ name });
  await second.ip("link", "set", "lo", "alias", "bulkhead segment x dmz eth0 -");
  const [view] = await census.take();
  assert.equal(view?.tag, "bulkhead segment x dmz eth0 -");
  assert.equal(view?.name, name);
});

test("calls at the same time share one reading", async () => {
  await using marked = await makeNamespace();
  await marked.ip("link", "set", "lo", "alias", "bulkhead engine x capture");
  const census = censusOf(marked.name);
  const [one, other] = await Promise.all([census.take(), census.take()]);
  assert.equal(one.length, 1);
  assert.deepEqual(one, other);
  assert.equal(census.looks(), 1);
});

/** A census with a clock of its own that tells of one namespace alone; tests beside this one have theirs. */
function censusOf(name: string) {
  const host = hostCommands();
  let looks = 0;
  const commands: Commands = {
    run(argv, options) {
      if (argv.includes(`--net=/run/netns/${name}`)) looks += 1;
      return host.run(argv, options);
    },
  };
  const clock = { nowMs: 0 };
  const census = new NamespaceCensus(commands, () => clock.nowMs);
  return Object.assign(clock, {
    looks: () => looks,
    take: async () => (await census.take()).filter((view) => view.name === name),
  });
}
