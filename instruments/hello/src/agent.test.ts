import assert from "node:assert/strict";
import { test } from "node:test";
import { startForTest } from "@bulkhead/sdk/testing";
import { agent } from "./agent.ts";

test("it greets at once, then at its interval, until it is stopped", async (t) => {
  t.mock.timers.enable({ apis: ["setInterval"] });
  await using hello = await startForTest(agent, {
    emits: ["hello.greeting"],
    config: { greeting: "ahoy", intervalMs: 1_000 },
  });
  assert.equal(hello.health.state, "ready");
  t.mock.timers.tick(2_500);
  await hello.stop();
  t.mock.timers.tick(5_000);
  assert.deepEqual(
    hello.emitted.map(({ type, data }) => ({ type, data })),
    [1, 2, 3].map((count) => ({ type: "hello.greeting", data: { greeting: "ahoy", count } })),
  );
});

test("new settings take the place of the old ones; refused ones change nothing", async (t) => {
  t.mock.timers.enable({ apis: ["setInterval"] });
  await using hello = await startForTest(agent, { config: {} });
  assert.equal((await hello.applyConfig({ greeting: "ahoy", intervalMs: 100 })).outcome, "applied");
  const refused = await hello.applyConfig({ greeting: "", intervalMs: 1 });
  assert.ok(refused.outcome === "refused");
  assert.deepEqual(
    refused.faults.map(({ message }) => message.split(":")[0]),
    ["greeting", "intervalMs"],
  );
  t.mock.timers.tick(100);
  await hello.flush();
  assert.deepEqual(
    hello.emitted.map(({ data }) => data),
    ["hello", "ahoy", "ahoy"].map((greeting, index) => ({ greeting, count: index + 1 })),
  );
  assert.equal(hello.health.configVersion, "test-2");
});
