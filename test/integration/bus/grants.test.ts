/** Grants that come and go while the bus runs, and starts in any order. */
import assert from "node:assert/strict";
import { rename, rm } from "node:fs/promises";
import { test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { readFile, writeFile } from "node:fs/promises";
import { eventually } from "@bulkhead/testkit";
import { jetstream, jetstreamManager } from "@nats-io/jetstream";
import type { NatsConnection } from "@nats-io/transport-node";
import { brokerPaths } from "../../../packages/sensord/src/bus/broker-config.ts";
import { Bus } from "../../../packages/sensord/src/bus/bus.ts";
import { NO_SERVICES } from "../../../packages/sensord/src/bus/instrument-services.ts";
import { SILENT } from "../../../packages/sensord/src/log.ts";
import { BusFixture, collect, DESIRED, eventHeaders, makeSocketDir, PDNS } from "./bus-fixture.ts";

const WITHOUT_GRANT = { ...DESIRED, grants: { events: [], messages: [], resources: [] } };

async function emit(connection: NatsConnection, id: string): Promise<void> {
  await jetstream(connection).publish("ev.ids.suricata.dns", "{}", {
    headers: eventHeaders(id, "suricata.dns"),
  });
}

function consumerOf(connection: NatsConnection) {
  const info = { stream_name: "EV_ids", name: "pdns_suricata=dns", config: {} };
  type Info = Parameters<ReturnType<typeof jetstream>["consumers"]["getConsumerFromInfo"]>[0];
  return jetstream(connection).consumers.getConsumerFromInfo(info as Info);
}

test("a grant that is taken away ends a pull that waits; given again, it begins anew", async () => {
  await using fixture = await BusFixture.open();
  const ids = await fixture.client("ids");
  const pdns = await fixture.client("pdns");
  const reloads: string[] = [];
  pdns.subscribe("cmd.pdns.*", { callback: (_, message) => void reloads.push(message.subject) });
  await emit(ids, "before");
  const got: string[] = [];
  const messages = await consumerOf(pdns).consume({
    max_messages: 100,
    callback: (message) => {
      got.push(message.headers?.get("ce-id") ?? "");
      message.ack();
    },
  });
  await eventually("the first", () => got.length === 1);
  await fixture.bus.applyGrants(WITHOUT_GRANT);
  await emit(ids, "while revoked");
  await delay(300);
  assert.deepEqual(got, ["before"], "the pull that waited is answered no more");
  const asked = await pdns
    .request("$JS.API.CONSUMER.MSG.NEXT.EV_ids.pdns_suricata=dns", "1", { timeout: 2000 })
    .then(() => "answered")
    .catch(() => "refused");
  assert.equal(asked, "refused");
  assert.equal(pdns.isClosed(), false, "its connection lives on");
  await eventually("a word", () => reloads.includes("cmd.pdns.reload"));
  await messages.close();
  const [grant] = DESIRED.grants.events;
  assert.ok(grant !== undefined);
  const granted = async (replay: "all" | number | undefined): Promise<readonly string[]> => {
    await fixture.bus.applyGrants(WITHOUT_GRANT);
    const event = replay === undefined ? grant : { ...grant, replay };
    await fixture.bus.applyGrants({ ...DESIRED, grants: { ...DESIRED.grants, events: [event] } });
    // The position of one that is there stays, whatever its grant says later.
    await fixture.bus.applyGrants(DESIRED);
    await emit(ids, `after ${replay}`);
    const fetched = await consumerOf(pdns).fetch({ max_messages: 100, expires: 1_000 });
    return (await collect(fetched)).map((m) => m.headers?.get("ce-id") ?? "");
  };
  assert.deepEqual(await granted(undefined), ["after undefined"], "nothing from before its grant");
  assert.deepEqual(await granted("all"), ["before", "while revoked", "after undefined", "after all"]);
  const beforeMs = performance.now();
  await delay(1_100);
  await emit(ids, "recent");
  const [first] = await granted(Math.round(performance.now() - beforeMs));
  assert.equal(first, "recent", "from so far back as its grant says");
});

test("applying the same again changes nothing, and disturbs nobody", async () => {
  await using fixture = await BusFixture.open();
  const ids = await fixture.client("ids");
  const told: string[] = [];
  ids.subscribe("cmd.ids.*", { callback: (_, message) => void told.push(message.subject) });
  const disturbances: string[] = [];
  void (async () => {
    for await (const status of ids.status()) disturbances.push(status.type);
  })();
  const jsm = await jetstreamManager(await fixture.direct("platform"), { checkAPI: false });
  const snapshot = async () => {
    const streams = await collect(jsm.streams.list());
    return JSON.stringify(streams.map(({ config, created }) => ({ config, created })));
  };
  const before = await snapshot();
  for (let at = 0; at < 3; at += 1) await fixture.bus.applyGrants(DESIRED);
  await ids.flush();
  assert.equal(await snapshot(), before);
  assert.deepEqual([told, disturbances], [[], []]);
  assert.equal(fixture.broker.starts, 1);
});

test("an instrument that leaves loses connection, socket and streams; one that comes back has a new stream", async () => {
  await using fixture = await BusFixture.open();
  const ids = await fixture.client("ids");
  await emit(ids, "old");
  const evil = await fixture.client("evil", { reconnect: false });
  const jsm = await jetstreamManager(await fixture.direct("platform"), { checkAPI: false });
  const others = { ...DESIRED, instruments: DESIRED.instruments.filter(({ name }) => name !== "evil") };
  await fixture.bus.applyGrants(others);
  await eventually("its connection to end", () => evil.isClosed());
  const names = await collect(jsm.streams.names());
  assert.deepEqual(names.toSorted(), ["EV_ids", "EV_pdns", "EV_platform", "LOG_ids", "LOG_pdns"]);
  await assert.rejects(fixture.client("evil", { maxReconnectAttempts: 0, reconnect: false }));
  await fixture.bus.applyGrants(DESIRED);
  await eventually("its gate", () => fixture.bus.state().waiting.length === 0);
  await fixture.client("evil");
  await emit(ids, "new");
});

test("an instrument that is not enabled has no way to the bus, and what it emitted stays", async () => {
  await using fixture = await BusFixture.open();
  await emit(await fixture.client("ids", { reconnect: false }), "kept");
  const instruments = DESIRED.instruments.filter(({ name }) => name !== "ids");
  await fixture.bus.applyGrants({ ...DESIRED, instruments, retained: ["ids"] });
  await assert.rejects(fixture.client("ids", { maxReconnectAttempts: 0, reconnect: false }));
  const query = { limit: 10, follow: false, instrument: "ids" };
  const events = await collect(fixture.bus.events(query, AbortSignal.timeout(30_000)));
  assert.deepEqual(
    events.map(({ id }) => id),
    ["kept"],
  );
});

test("gates wait for their directory, and follow it when it is made anew", async () => {
  await using fixture = await BusFixture.open();
  await fixture.client("ids");
  const directory = `${fixture.layout.socketsDir}/ids`;
  await rm(directory, { recursive: true });
  await makeSocketDir(fixture.layout.socketsDir, "ids");
  await eventually("a new socket", async () =>
    fixture.client("ids", { reconnect: false, maxReconnectAttempts: 0 }).then(
      () => true,
      () => false,
    ),
  );
  const missing = { ...DESIRED, instruments: [...DESIRED.instruments, { ...PDNS, name: "late" }] };
  await fixture.bus.applyGrants(missing);
  assert.deepEqual(fixture.bus.state().waiting, ["late"]);
  await makeSocketDir(fixture.layout.socketsDir, "late");
  await eventually("the late gate", () => fixture.bus.state().waiting.length === 0);
});

test("sensord may start anew beside a broker that runs: nothing is lost, nothing is revoked meanwhile", async () => {
  await using fixture = await BusFixture.open();
  const direct = await fixture.direct("ids");
  await emit(direct, "first");
  await fixture.bus.close();
  const { configFile } = brokerPaths(fixture.layout);
  const before = await readFile(configFile, "utf8");
  await using bus = await Bus.open({
    layout: fixture.layout,
    settings: { brokerPort: fixture.port },
    natsServer: fixture.natsServer,
    limits: fixture.limits,
    log: SILENT,
    services: NO_SERVICES,
    listeners: { hello: () => undefined, health: () => undefined, refused: () => undefined },
  });
  assert.equal(await readFile(configFile, "utf8"), before);
  await emit(direct, "second"); // still the old connection, under rules that stand
  await bus.applyGrants(DESIRED);
  await eventually("gates", () => bus.state().waiting.length === 0);
  await emit(await fixture.client("ids"), "third");
  const events = await collect(bus.events({ limit: 10, follow: false }, AbortSignal.timeout(30_000)));
  assert.deepEqual(
    events.map(({ id }) => id),
    ["first", "second", "third"],
  );
  assert.equal(fixture.broker.starts, 1);
});

test("where the passwords are lost, a broker that runs takes new ones", async () => {
  await using fixture = await BusFixture.open();
  await emit(await fixture.client("ids"), "first");
  await fixture.bus.close();
  await rm(brokerPaths(fixture.layout).stateFile);
  await using bus = await Bus.open({
    layout: fixture.layout,
    settings: { brokerPort: fixture.port },
    natsServer: fixture.natsServer,
    limits: fixture.limits,
    log: SILENT,
    services: NO_SERVICES,
    listeners: { hello: () => undefined, health: () => undefined, refused: () => undefined },
  });
  await eventually("the broker to take them", () =>
    bus.applyGrants(DESIRED).then(
      () => true,
      () => false,
    ),
  );
  const events = await collect(bus.events({ limit: 10, follow: false }, AbortSignal.timeout(30_000)));
  assert.deepEqual(
    events.map(({ id }) => id),
    ["first"],
  );
});

test("what a reload cannot change is taken by a restart of the broker", async () => {
  await using fixture = await BusFixture.open();
  await emit(await fixture.client("ids"), "first");
  await fixture.bus.close();
  const { stateFile } = brokerPaths(fixture.layout);
  const state = JSON.parse(await readFile(stateFile, "utf8"));
  await writeFile(stateFile, JSON.stringify({ ...state, storeBytes: state.storeBytes / 2 }));
  await using bus = await Bus.open({
    layout: fixture.layout,
    settings: { brokerPort: fixture.port },
    natsServer: fixture.natsServer,
    limits: fixture.limits,
    log: SILENT,
    services: NO_SERVICES,
    listeners: { hello: () => undefined, health: () => undefined, refused: () => undefined },
  });
  await bus.applyGrants(DESIRED);
  assert.equal(fixture.broker.starts, 2);
  const events = await collect(bus.events({ limit: 10, follow: false }, AbortSignal.timeout(30_000)));
  assert.deepEqual(
    events.map(({ id }) => id),
    ["first"],
  );
});

test("rules that nats-server does not accept change nothing, and say so", async () => {
  await using fixture = await BusFixture.open();
  const { configFile } = brokerPaths(fixture.layout);
  const before = await readFile(configFile, "utf8");
  const broken = {
    ...DESIRED,
    // No name may be like this; a program error is what would bring one here.
    instruments: [...DESIRED.instruments, { ...PDNS, name: "a..b" }],
  };
  await assert.rejects(fixture.bus.applyGrants(broken), { code: "bus-config-rejected" });
  assert.equal(fixture.bus.state().problem?.code, "bus-config-rejected");
  assert.equal(await readFile(configFile, "utf8"), before);
  await emit(await fixture.client("ids"), "goes on");
  await fixture.bus.applyGrants(DESIRED);
  assert.equal(fixture.bus.state().problem, null);
});

test("without a broker the bus opens, says so, and is as granted once there is one", async () => {
  await using fixture = await BusFixture.open();
  await fixture.broker[Symbol.asyncDispose]();
  await fixture.bus.close();
  const { dir, configFile } = brokerPaths(fixture.layout);
  await rename(dir, `${dir}.old`); // a first start
  await using bus = await Bus.open({
    layout: fixture.layout,
    settings: { brokerPort: fixture.port },
    natsServer: fixture.natsServer,
    limits: fixture.limits,
    log: SILENT,
    services: NO_SERVICES,
    listeners: { hello: () => undefined, health: () => undefined, refused: () => undefined },
  });
  assert.equal(bus.state().broker, "down");
  const applied = bus.applyGrants(DESIRED);
  const { TestBroker } = await import("../../../packages/testkit/src/broker.ts");
  await using broker = await TestBroker.start({
    natsServer: fixture.natsServer,
    configFile,
    port: fixture.port,
  });
  await applied;
  await eventually("gates", () => bus.state().waiting.length === 0);
  await emit(await fixture.client("ids"), "first");
  assert.equal(bus.state().broker, "up");
  assert.equal(broker.starts, 1);
});
