/** Storms: ten thousand subscriptions, and connections in a row; whoever does not take part goes on. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { createConnection } from "node:net";
import { after, before, test } from "node:test";
import { eventually } from "@bulkhead/testkit";
import { jetstream } from "@nats-io/jetstream";
import type { NatsConnection } from "@nats-io/transport-node";
import { DEFAULT_BUS_LIMITS } from "../../../packages/sensord/src/bus/limits.ts";
import { BusFixture, eventHeaders } from "./bus-fixture.ts";

const { connections, connectBurst, connectsPerSecond } = DEFAULT_BUS_LIMITS.gate;
let fixture: BusFixture;
let ids: NatsConnection;
before(async () => {
  fixture = await BusFixture.open({ limits: { gate: { connections, connectBurst } } });
  ids = await fixture.client("ids");
});
after(() => fixture[Symbol.asyncDispose]());

async function othersGoOn(id: string): Promise<void> {
  const headers = eventHeaders(id, "suricata.dns");
  const ack = await jetstream(ids).publish("ev.ids.suricata.dns", "{}", { headers, timeout: 20_000 });
  assert.equal(ack.stream, "EV_ids");
  assert.equal(fixture.bus.counts("ids").refused, 0);
  assert.equal(fixture.broker.starts, 1);
}

test("ten thousand subscriptions: as many as are allowed stand, the others are refused and counted", async () => {
  const raw = await fixture.raw("evil");
  const wanted = 10_000;
  const most = DEFAULT_BUS_LIMITS.broker.subscriptions;
  raw.send(Array.from({ length: wanted }, (_, at) => `SUB _INBOX.evil.${at} ${at + 1}\r\n`).join(""));
  await eventually(
    "each is judged",
    () => raw.closed || (fixture.bus.counts("evil").refusedBy.subscriptions ?? 0) >= wanted - most,
  );
  assert.ok((fixture.bus.counts("evil").refusedBy.subscriptions ?? 0) > 0);
  await othersGoOn("subscriptions");
  raw[Symbol.dispose]();
});

test("a storm of connections is turned away, costs the others nothing, and ends", async () => {
  const storm = 300;
  let answered = 0;
  for (let at = 0; at < storm; at += 1) {
    const socket = createConnection(fixture.socketPath("evil"));
    socket.on("error", () => undefined); // turned away
    socket.on("data", () => (answered += 1));
    // Its greeting or its refusal; then it is gone.
    await Promise.race([once(socket, "data"), once(socket, "close")]);
    socket.destroy();
    if (at % 100 === 0) await othersGoOn(`storm-${at}`);
    if ((fixture.bus.counts("evil").refusedBy.connections ?? 0) > 50) break;
  }
  assert.ok(answered > 0);
  assert.ok((fixture.bus.counts("evil").refusedBy.connections ?? 0) > 50, "they were turned away");
  await othersGoOn("after the storm");
  assert.ok(connectsPerSecond >= 1);
  await eventually("it may come again, one by one", async () =>
    fixture.client("evil", { reconnect: false, maxReconnectAttempts: 0 }).then(
      () => true,
      () => false,
    ),
  );
});
