/** kill -9 under load: what was acknowledged is there, and consumers see each event at least once. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readFile, rm } from "node:fs/promises";
import { test } from "node:test";
import { eventually } from "@bulkhead/testkit";
import { jetstream, jetstreamManager } from "@nats-io/jetstream";
import type { NatsConnection } from "@nats-io/transport-node";
import { brokerPaths } from "../../../packages/sensord/src/bus/broker-config.ts";
import { BusFixture, DESIRED, eventHeaders } from "./bus-fixture.ts";

/** Emits until told to stop, a few at a time; returns the ids that were acknowledged. */
function emitter(connection: NatsConnection): { readonly acknowledged: string[]; stop(): Promise<void> } {
  const acknowledged: string[] = [];
  const js = jetstream(connection);
  const end = new AbortController();
  let at = 0;
  const work = async (): Promise<void> => {
    while (!end.signal.aborted) {
      const id = `e-${(at += 1)}`;
      for (;;) {
        try {
          await js.publish("ev.ids.suricata.dns", JSON.stringify({ id }), {
            headers: eventHeaders(id, "suricata.dns"),
            timeout: 1000,
          });
          acknowledged.push(id);
          break;
        } catch (error) {
          if (end.signal.aborted || connection.isClosed()) return;
          if (!(error instanceof Error)) throw error; // not stored, or not told: again, under the same id
        }
      }
    }
  };
  const workers = Array.from({ length: 8 }, work);
  return {
    acknowledged,
    stop: async () => {
      end.abort();
      await Promise.all(workers);
    },
  };
}

/** Consumes as the SDK does: acknowledged after it was taken. */
async function consume(connection: NatsConnection, seen: Map<string, number>, onSeen: () => void = () => {}) {
  const info = { stream_name: "EV_ids", name: "pdns_suricata=dns", config: {} };
  type Info = Parameters<ReturnType<typeof jetstream>["consumers"]["getConsumerFromInfo"]>[0];
  return jetstream(connection)
    .consumers.getConsumerFromInfo(info as Info)
    .consume({
      // It may not ask about its consumer, and notices by missing heartbeats that a pull is lost.
      bind: true,
      expires: 4000,
      idle_heartbeat: 1000,
      max_messages: 200,
      callback: (message) => {
        const id = message.headers?.get("ce-id") ?? "";
        seen.set(id, (seen.get(id) ?? 0) + 1);
        onSeen();
        message.ack();
      },
    });
}

test("kill -9 of the broker: nothing that was acknowledged is lost, each is consumed and read once by id", async () => {
  await using fixture = await BusFixture.open({ limits: { streams: { ackWaitMs: 2000 } } });
  const ids = await fixture.client("ids");
  const seen = new Map<string, number>();
  const consuming = await consume(await fixture.client("pdns"), seen);
  const followed: string[] = [];
  const end = new AbortController();
  const following = (async () => {
    const query = { limit: 1, follow: true, instrument: "ids" };
    for await (const { id } of fixture.bus.events(query, end.signal)) followed.push(id);
  })();
  const emitting = emitter(ids);
  for (let crash = 0; crash < 3; crash += 1) {
    const before = emitting.acknowledged.length;
    await eventually("load", () => emitting.acknowledged.length > before + 500);
    await fixture.broker.crash();
  }
  const before = emitting.acknowledged.length;
  await eventually("load after the last crash", () => emitting.acknowledged.length > before + 500);
  await emitting.stop();
  const { acknowledged } = emitting;
  assert.equal(fixture.broker.starts, 4);
  await eventually("the consumer", () => acknowledged.every((id) => seen.has(id)), 60_000);
  await eventually("the reader", () => followed.length >= acknowledged.length, 60_000);
  assert.deepEqual(
    acknowledged.filter((id) => !followed.includes(id)),
    [],
  );
  assert.equal(new Set(followed).size, followed.length, "each once");
  const stored: string[] = [];
  const all = fixture.bus.events({ limit: 10_000, follow: false }, AbortSignal.timeout(60_000));
  for await (const { id } of all) stored.push(id);
  if (acknowledged.length <= 10_000) {
    assert.deepEqual(
      acknowledged.filter((id) => !stored.includes(id)),
      [],
    );
  }
  end.abort();
  await following;
  await consuming.close();
});

test("a consumer that is killed gets again what it had not acknowledged", async () => {
  await using fixture = await BusFixture.open({ limits: { streams: { ackWaitMs: 1000 } } });
  const emitting = emitter(await fixture.client("ids"));
  const raw = await fixture.raw("pdns");
  raw.send("SUB _INBOX.pdns.a 1\r\n");
  raw.send('PUB $JS.API.CONSUMER.MSG.NEXT.EV_ids.pdns_suricata=dns _INBOX.pdns.a 13\r\n{"batch":100}\r\n');
  // It has taken a hundred and acknowledged none when it dies.
  await eventually("its batch", () => (raw.received.match(/HMSG/g) ?? []).length >= 100);
  raw.socket.destroy();
  const seen = new Map<string, number>();
  const consuming = await consume(await fixture.client("pdns"), seen);
  await eventually("load", () => emitting.acknowledged.length > 1000);
  await emitting.stop();
  await eventually("all", () => emitting.acknowledged.every((id) => seen.has(id)), 60_000);
  await consuming.close();
});

test("kill -9 of the gates' process: instruments come back, and nothing that was acknowledged is lost", async () => {
  await using fixture = await BusFixture.open();
  await using stack = new AsyncDisposableStack();
  const { layout, natsServer, port } = fixture;
  const start = async (): Promise<ChildProcess> => {
    const task = JSON.stringify({ layout, brokerPort: port, natsServer, desired: DESIRED });
    const script = new URL("bus-process.ts", import.meta.url).pathname;
    const child = spawn(process.execPath, [script, task], { stdio: ["pipe", "pipe", "inherit"] });
    stack.defer(() => void child.kill("SIGKILL"));
    await once(child.stdout, "data");
    return child;
  };
  await fixture.bus.close();
  let child = await start();
  await eventually("its gates", () =>
    fixture.client("pdns").then(
      () => true,
      () => false,
    ),
  );
  const emitting = emitter(await fixture.client("ids"));
  for (let kill = 0; kill < 2; kill += 1) {
    const before = emitting.acknowledged.length;
    await eventually("load", () => emitting.acknowledged.length > before + 300);
    child.kill("SIGKILL");
    await once(child, "exit");
    child = await start();
  }
  const before = emitting.acknowledged.length;
  await eventually("load after the last kill", () => emitting.acknowledged.length > before + 300);
  await emitting.stop();
  assert.equal(fixture.broker.starts, 1);
  const jsm = await jetstreamManager(await fixture.direct("platform"), { checkAPI: false });
  const { state } = await jsm.streams.info("EV_ids");
  // One emitter that repeats under the same id: as many are stored as were acknowledged, or the last few more.
  assert.ok(state.messages >= emitting.acknowledged.length);
  assert.ok(state.messages <= emitting.acknowledged.length + 8);
});

test("a broker that lost its store is set up again by itself", async () => {
  await using fixture = await BusFixture.open();
  await fixture.client("ids");
  await rm(`${fixture.layout.brokerDir}/store`, { recursive: true });
  await fixture.broker.crash();
  const ids = await fixture.client("ids");
  await eventually("a stream", async () =>
    jetstream(ids)
      .publish("ev.ids.suricata.dns", "{}", { headers: eventHeaders("after", "suricata.dns"), timeout: 500 })
      .then(
        () => true,
        () => false,
      ),
  );
  const seen = new Map<string, number>();
  const consuming = await consume(await fixture.client("pdns"), seen);
  await eventually("its consumer", () => seen.has("after"));
  await consuming.close();
});

test("a bus that is closed while new grants wait for a broker that has ended is closed at once", async () => {
  await using fixture = await BusFixture.open();
  const { configFile } = brokerPaths(fixture.layout);
  // What is applied after the first connection has ended by then: the next is not to wait behind it.
  await fixture.bus.applyGrants(DESIRED);
  const former = await readFile(configFile, "utf8");
  await fixture.broker[Symbol.asyncDispose]();
  await eventually("it is missed", () => fixture.bus.state().broker === "down");
  const refused = assert.rejects(fixture.bus.applyGrants({ ...DESIRED, instruments: [] }), {
    name: "SensordError",
  });
  await eventually("rules to wait for", async () => (await readFile(configFile, "utf8")) !== former);
  const beganMs = performance.now();
  await fixture.bus.close();
  await refused;
  // It would wait for its rules for 30 s.
  assert.ok(performance.now() - beganMs < 15_000);
});
