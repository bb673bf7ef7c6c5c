/** Suricata's agent on real parts: its image, a tap with real traffic, rules, restarts, counters. */
import assert from "node:assert/strict";
import { chmod } from "node:fs/promises";
import { after, before, test } from "node:test";
import type { ConfigCommand, HealthReport } from "@bulkhead/schema";
import { eventually, readCounters } from "@bulkhead/testkit";
import { EVE_TYPES } from "@bulkhead/instrument-suricata";
import type { AgentProcess } from "../sdk/agent-process.ts";
import { openTestBus, type TestBus, type TestInstrument } from "../sdk/test-bus.ts";
import { openSuricataPlace, type SuricataPlace } from "./suricata-place.ts";

const stack = new AsyncDisposableStack();
let bus: TestBus;
let place: SuricataPlace;
let ids: TestInstrument;
let agent: AgentProcess;

interface StoredEvent {
  readonly subject: string;
  readonly time: string;
  readonly text: string;
  readonly record: {
    readonly event_type: string;
    readonly timestamp: string;
    readonly alert?: { readonly signature_id: number };
    readonly dns?: { readonly type: string; readonly rrname: string };
  };
}

before(async () => {
  place = stack.use(await openSuricataPlace());
  bus = stack.use(await openTestBus());
  const emits = EVE_TYPES.map((type) => `suricata.${type}`);
  ids = await bus.admit({ instrument: "ids", emits }, place.busSocket);
  await chmod(place.busSocket, 0o666);
  agent = place.start("ids");
  await eventually("hello", () => ids.greetings.count > 0);
});
after(() => stack.disposeAsync());

function rule(sid: number, path: string): string {
  return `alert http any any -> any any (msg:"test ${path}"; http.uri; content:"${path}"; sid:${sid}; rev:1;)\n`;
}

function config(
  version: string,
  settings: ConfigCommand["config"],
  files?: readonly string[],
): ConfigCommand {
  const delivered = files === undefined ? null : { version: `f-${version}`, names: [...files] };
  return { version, config: settings, retentionMs: null, files: delivered };
}

/** Everything stored from this sequence on. */
async function eventsSince(sequence: number): Promise<readonly StoredEvent[]> {
  const { state } = await bus.streams.streams.info("EV_ids");
  const events: StoredEvent[] = [];
  for (let seq = Math.max(sequence, 1); seq <= state.last_seq; seq += 1) {
    const message = await bus.streams.streams.getMessage("EV_ids", { seq });
    if (message === null) continue;
    const text = Buffer.from(message.data).toString("utf8");
    const record = JSON.parse(text) as StoredEvent["record"];
    events.push({ subject: message.subject, time: message.header.get("ce-time"), text, record });
  }
  return events;
}

async function position(): Promise<number> {
  return (await bus.streams.streams.info("EV_ids")).state.last_seq + 1;
}

async function sawAlert(since: number, sid: number): Promise<void> {
  let seen: readonly StoredEvent[] = [];
  const alerted = async (): Promise<boolean> => {
    seen = await eventsSince(since);
    return seen.some(({ record }) => record.alert?.signature_id === sid);
  };
  try {
    await eventually(`alert ${sid}`, alerted, 30_000);
  } catch (cause) {
    assert.fail(
      `no alert ${sid} among ${seen.map(({ text }) => text.slice(0, 400)).join("\n")}: ${String(cause)}`,
    );
  }
}

function lastHealth(): HealthReport | undefined {
  return ids.health.at(-1);
}

async function onePid(): Promise<number> {
  const pids = await eventually("one Suricata", async () => {
    const found = await place.suricataPids();
    return found.length === 1 ? found : null;
  });
  return pids[0] ?? 0;
}

test("a configuration before the tap is taken, and the tap is waited for", async () => {
  await place.deliver("f-v1", { "local.rules": rule(1_000_001, "/attack-one") });
  const answer = await ids.configure(
    config("v1", { homeNet: ["10.77.0.0/24"], ruleFiles: ["./local.rules"] }, ["local.rules"]),
  );
  assert.deepEqual(answer, { outcome: "applied", version: "v1", note: "waits for its tap mon0" });
  await eventually("the health report says so", () => lastHealth()?.detail === "waits for its tap mon0");
  assert.deepEqual(await place.suricataPids(), []);
  await place.connectTap();
  await eventually("ready", () => lastHealth()?.state === "ready");
});

test("traffic becomes events: the record untouched, type and time beside it", async () => {
  const since = await position();
  await place.traffic("http", "/attack-one", "1");
  await place.traffic("dns", "host-N.corp.example", "20");
  await sawAlert(since, 1_000_001);
  await eventually("DNS answers", async () => {
    const answers = (await eventsSince(since)).filter(({ record }) => record.dns?.type === "answer");
    return answers.length >= 20;
  });
  for (const { subject, time, text, record } of await eventsSince(since)) {
    assert.equal(subject, `ev.ids.suricata.${record.event_type}`);
    assert.equal(Date.parse(time), Date.parse(record.timestamp));
    assert.match(text, /^\{"timestamp":"[^\n]*\}$/, "one line, as Suricata wrote it");
  }
});

test("a bad rule file is refused by name and line, and what runs goes on", async () => {
  const pid = await onePid();
  const bad = `${rule(1_000_002, "/attack-two")}# a comment\nalert http any any -> any any (msg:"x"; nonsense; sid:3;)\n`;
  await place.deliver("f-v2", { "local.rules": bad });
  const answer = await ids.configure(
    config("v2", { homeNet: ["10.77.0.0/24"], ruleFiles: ["local.rules"] }, ["local.rules"]),
  );
  assert.deepEqual(answer, {
    outcome: "refused",
    version: "v2",
    faults: [{ file: "local.rules", line: 3, message: "unknown rule keyword 'nonsense'." }],
  });
  assert.equal(await onePid(), pid);
  const since = await position();
  await place.traffic("http", "/attack-one", "1");
  await sawAlert(since, 1_000_001);
  await eventually("the version in force", () => lastHealth()?.configVersion === "v1");
});

test("a file that was not delivered is a fault of that file", async () => {
  const answer = await ids.configure(config("v2b", { ruleFiles: ["./absent.rules"] }));
  assert.ok(answer.outcome === "refused");
  assert.deepEqual(answer.faults, [{ file: "absent.rules", message: "was not delivered" }]);
});

test("good rules are loaded without a restart", async () => {
  const pid = await onePid();
  await place.deliver("f-v3", {
    "local.rules": rule(1_000_001, "/attack-one"),
    "more.rules": rule(1_000_002, "/attack-two"),
  });
  const files = ["local.rules", "more.rules"];
  const answer = await ids.configure(config("v3", { homeNet: ["10.77.0.0/24"], ruleFiles: files }, files));
  assert.deepEqual(answer, { outcome: "applied", version: "v3" });
  assert.equal(await onePid(), pid, "the same process");
  const since = await position();
  await place.traffic("http", "/attack-two", "1");
  await sawAlert(since, 1_000_002);
});

test("other settings restart Suricata in an orderly way: its flows are written first", async () => {
  const pid = await onePid();
  const since = await position();
  await place.traffic("http", "/quiet", "1");
  const files = ["local.rules", "more.rules"];
  await place.deliver("f-v4", {
    "local.rules": rule(1_000_001, "/attack-one"),
    "more.rules": rule(1_000_002, "/attack-two"),
  });
  const settings = { homeNet: ["10.77.0.0/24"], ruleFiles: files, eveTypes: ["alert", "flow", "dns"] };
  const answer = await ids.configure(config("v4", settings, files));
  assert.deepEqual(answer, { outcome: "applied", version: "v4" });
  assert.notEqual(await onePid(), pid);
  await eventually("the flow of before", async () =>
    (await eventsSince(since)).some(({ record }) => record.event_type === "flow"),
  );
  const later = await position();
  await place.traffic("http", "/attack-one", "1");
  await sawAlert(later, 1_000_001);
  assert.ok((await eventsSince(later)).every(({ record }) => record.event_type !== "http"));
});

test("the counters are the wire's when traffic rests, and start anew with a new epoch", async () => {
  const wire = async (): Promise<number> => (await readCounters("mon0", place.sensor.name)).rxPackets;
  const [beforeWire, beforeTool] = await atRest(wire);
  // Not before: a Suricata that has just begun may not have said anything yet.
  const epoch = lastHealth()?.packets?.epoch;
  assert.ok(epoch !== undefined);
  await place.traffic("burst", "5000");
  const [afterWire, afterTool] = await atRest(wire);
  assert.ok(afterWire - beforeWire >= 5_000);
  assert.equal(afterTool - beforeTool, afterWire - beforeWire);
  assert.equal(lastHealth()?.packets?.epoch, epoch);
});

/** Wire and tool counts, once neither changed for three reports. */
async function atRest(wire: () => Promise<number>): Promise<readonly [number, number]> {
  let stable = 0;
  let last = "";
  return eventually("rest", async () => {
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    const now = [await wire(), lastHealth()?.packets?.received ?? -1] as const;
    stable = JSON.stringify(now) === last ? stable + 1 : 0;
    last = JSON.stringify(now);
    return stable >= 3 ? now : null;
  });
}

test("frozen under a burst, it says what its ring lost", async () => {
  const pid = await onePid();
  const wire = async (): Promise<number> => (await readCounters("mon0", place.sensor.name)).rxPackets;
  const [beforeWire, beforeReceived] = await atRest(wire);
  const beforeDropped = lastHealth()?.packets?.dropped ?? 0;
  process.kill(pid, "SIGSTOP");
  await place.traffic("burst", "40000");
  process.kill(pid, "SIGCONT");
  const [afterWire, afterReceived] = await atRest(wire);
  const dropped = (lastHealth()?.packets?.dropped ?? 0) - beforeDropped;
  assert.ok(dropped > 0, "the ring is smaller than the burst");
  assert.equal(
    afterReceived - beforeReceived,
    afterWire - beforeWire,
    "received counts what was dropped, too",
  );
});

test("a Suricata that is killed comes back and goes on", async () => {
  const pid = await onePid();
  const before = lastHealth();
  process.kill(pid, "SIGKILL");
  await eventually("another one, ready", () => {
    const now = lastHealth();
    return now?.state === "ready" && now.restarts === (before?.restarts ?? 0) + 1;
  });
  assert.notEqual(await onePid(), pid);
  assert.notEqual(lastHealth()?.packets?.epoch, before?.packets?.epoch);
  const since = await position();
  await place.traffic("http", "/attack-one", "1");
  await sawAlert(since, 1_000_001);
});

test("a wire that was taken away and made anew is captured again", async () => {
  await place.disconnectTap();
  await new Promise((resolve) => setTimeout(resolve, 1_500));
  await place.connectTap();
  await eventually("alerts again", async () => {
    const since = await position();
    await place.traffic("http", "/attack-one", "1");
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    return (await eventsSince(since)).some(({ record }) => record.alert?.signature_id === 1_000_001);
  });
});

test("an agent that starts anew while the wanted configuration is refused runs the last good one", async () => {
  assert.equal(await agent.kill("SIGTERM"), 0);
  assert.equal(agent.output(), "");
  assert.deepEqual(await place.suricataPids(), []);
  const greetings = ids.greetings.count;
  agent = place.start("ids");
  await eventually("hello", () => ids.greetings.count > greetings);
  await place.deliver("f-v5", { "local.rules": "nonsense\n" });
  const answer = await ids.configure(config("v5", { ruleFiles: ["local.rules"] }, ["local.rules"]));
  assert.equal(answer.outcome, "refused");
  await onePid();
  const since = await position();
  await place.traffic("http", "/attack-two", "1");
  await sawAlert(since, 1_000_002);
});

test("it ends in an orderly way, its events acknowledged", async () => {
  await place.traffic("http", "/last", "1");
  await bus.platform.request("cmd.ids.stop", "{}", { timeout: 10_000 });
  assert.equal(await agent.ended, 0);
  assert.equal(lastHealth()?.events.waiting, 0);
  assert.deepEqual(await place.suricataPids(), []);
});
