/** The frame of an agent on real parts: the hello instrument, as a process, on a real broker. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import type { ConfigCommand } from "@bulkhead/schema";
import { eventually } from "@bulkhead/testkit";
import { bundleAgent, runAgent, type AgentProcess } from "./agent-process.ts";
import { openTestBus, type TestBus, type TestInstrument } from "./test-bus.ts";

async function startHello(bus: TestBus): Promise<{ instrument: TestInstrument; agent: AgentProcess }> {
  const instrument = await bus.admit({ instrument: "hi", emits: ["hello.greeting"] });
  const file = await bundleAgent("hello", bus.dir);
  const agent = runAgent([process.execPath, file], {
    BULKHEAD_INSTRUMENT: "hi",
    BULKHEAD_BUS_SOCKET: instrument.socketPath,
  });
  await eventually("hello", () => instrument.greetings.count > 0);
  return { instrument, agent };
}

function command(version: string, config: ConfigCommand["config"]): ConfigCommand {
  return { version, config, retentionMs: null, files: null };
}

async function stored(bus: TestBus): Promise<number> {
  return (await bus.streams.streams.info("EV_hi")).state.messages;
}

test("an instrument greets, takes its configuration, emits, reports, and ends in an orderly way", async () => {
  await using bus = await openTestBus();
  const { instrument, agent: started } = await startHello(bus);
  await using agent = started;
  await eventually("a first report", () => instrument.health.at(-1)?.state === "starting");
  assert.equal(instrument.health.at(-1)?.configVersion, null);

  const applied = await instrument.configure(command("v1", { greeting: "ahoy", intervalMs: 100 }));
  assert.deepEqual(applied, { outcome: "applied", version: "v1" });
  await eventually("events", async () => (await stored(bus)) >= 3);
  const first = await bus.streams.streams.getMessage("EV_hi", { seq: 1 });
  assert.deepEqual(first?.json(), { greeting: "ahoy", count: 1 });
  await eventually("ready", () => {
    const last = instrument.health.at(-1);
    return last?.state === "ready" && last.configVersion === "v1" && last.events.acknowledged > 0;
  });

  const refused = await instrument.configure(command("v2", { greeting: "", intervall: 1 }));
  assert.equal(refused.outcome, "refused");
  assert.ok(
    refused.outcome === "refused" && refused.faults.some(({ message }) => message.includes("greeting")),
  );
  const before = await stored(bus);
  await eventually("the former configuration goes on", async () => (await stored(bus)) > before + 2);

  assert.equal(await agent.kill("SIGTERM"), 0);
  assert.equal(agent.output(), "", "nothing goes to the runtime's console");
  assert.ok(instrument.logs.some(({ message }) => message === "configuration v2: refused"));
  const last = instrument.health.at(-1);
  assert.equal(last?.events.waiting, 0);
  assert.equal(last?.events.acknowledged, await stored(bus), "what it acknowledged is what is stored");
});

test("the same version twice changes nothing, and commands answer while others wait", async () => {
  await using bus = await openTestBus();
  const { instrument, agent: started } = await startHello(bus);
  await using agent = started;
  const slow = command("v1", { intervalMs: 3_600_000 });
  const answers = await Promise.all([instrument.configure(slow), instrument.configure(slow)]);
  assert.deepEqual(answers[0], answers[1]);
  await eventually("one greeting", async () => (await stored(bus)) === 1);
  const health = await bus.platform.request("cmd.hi.health", "", { timeout: 10_000 });
  assert.equal(health.json<{ configVersion: string }>().configVersion, "v1");
  assert.equal(await stored(bus), 1, "applying the same version twice greets once");
  assert.equal(agent.output(), "");
});

test("a command on another subject, or one that is none, does no harm; stop ends it", async () => {
  await using bus = await openTestBus();
  const { instrument, agent: started } = await startHello(bus);
  await using agent = started;
  const nonsense = await bus.platform.request("cmd.hi.config", "no json", { timeout: 10_000 });
  assert.equal(nonsense.json<{ outcome: string }>().outcome, "refused");
  const unknown = await bus.platform.request("cmd.hi.unheard-of", "{}", { timeout: 10_000 });
  assert.deepEqual(unknown.json(), {});
  assert.equal((await instrument.configure(command("v1", {}))).outcome, "applied");
  await bus.platform.request("cmd.hi.stop", "{}", { timeout: 10_000 });
  assert.equal(await agent.ended, 0);
});

test("an agent without a name says so and ends", async () => {
  await using bus = await openTestBus();
  const file = await bundleAgent("hello", bus.dir);
  await using agent = runAgent([process.execPath, file], { BULKHEAD_INSTRUMENT: "No Name" });
  assert.equal(await agent.ended, 1);
  assert.match(agent.output(), /^sdk-no-name: /);
});

test("what nobody caught is its last line in the log, and nothing goes to the console", async () => {
  await using bus = await openTestBus();
  const instrument = await bus.admit({ instrument: "hi", emits: [] });
  const file = await bundleAgent("failing", bus.dir, join(import.meta.dirname, "failing-agent.ts"));
  await using agent = runAgent([process.execPath, file], {
    BULKHEAD_INSTRUMENT: "hi",
    BULKHEAD_BUS_SOCKET: instrument.socketPath,
  });
  assert.equal(await agent.ended, 1);
  await eventually("its last words", () => instrument.logs.some(({ level }) => level === "error"));
  const last = instrument.logs.at(-1);
  assert.equal(last?.level, "error");
  assert.match(last?.message ?? "", /^it ends by an error: Error: the tool is gone\n +at /);
  assert.equal(agent.output(), "");
});
