/** One instrument's excess stays its own: rates, connections, subscriptions, readers that do not read. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { eventually } from "@bulkhead/testkit";
import { jetstream } from "@nats-io/jetstream";
import type { NatsConnection } from "@nats-io/transport-node";
import { BusFixture, eventHeaders, hpub } from "./bus-fixture.ts";

const RATE = 2000;
const BURST = 500;

let fixture: BusFixture;
before(async () => {
  fixture = await BusFixture.open({
    limits: {
      gate: {
        messagesPerSecond: RATE,
        messageBurst: BURST,
        reportsPerSecond: 10,
        reportBurst: 50,
        refusalsPerSecond: 10,
        refusalBurst: 100,
        connections: 6,
        handshakeMs: 700,
        stallMs: 1500,
      },
      broker: { subscriptions: 40, pendingBytes: 64 * 1024 * 1024 },
    },
  });
});
after(() => fixture[Symbol.asyncDispose]());

const EVENT = hpub(
  "ev.evil.suricata.dns",
  ["ce-specversion: 1.0", "ce-id: x", "ce-type: suricata.dns", "ce-time: 2025-01-01T00:00:00Z"],
  "{}",
);

/** How long an event of this connection takes to be acknowledged. */
async function ackMs(connection: NatsConnection, id: string): Promise<number> {
  const began = performance.now();
  await jetstream(connection).publish("ev.ids.suricata.dns", "{}", {
    headers: eventHeaders(id, "suricata.dns"),
  });
  return performance.now() - began;
}

test("ten times the rate: the sender waits, nothing is lost, and the others do not notice", async () => {
  const ids = await fixture.client("ids");
  const raw = await fixture.raw("evil");
  const events = 4 * RATE;
  const published = (): number => fixture.bus.counts("evil").published["ev.evil.suricata.dns"] ?? 0;
  const began = performance.now();
  raw.send(EVENT.repeat(events));
  let slowest = 0;
  for (let at = 0; at < 10; at += 1) slowest = Math.max(slowest, await ackMs(ids, `beside-${at}`));
  assert.ok(published() < events, "the burst was held back while the others went on");
  await eventually("all events", () => published() === events);
  const tookMs = performance.now() - began;
  assert.ok(tookMs >= ((events - BURST) / RATE) * 1000 * 0.9, `${tookMs} ms`);
  assert.ok(slowest < 1000, `${slowest} ms`);
  const counts = fixture.bus.counts("evil");
  assert.ok(counts.throttled > 0 && counts.throttledMs > 1000);
  assert.equal(counts.refused, 0);
  assert.equal(fixture.bus.counts("ids").throttled, 0);
});

test("too many reports are refused and counted; events go on", async () => {
  const raw = await fixture.raw("evil");
  const before = fixture.bus.counts("evil");
  raw.send("PUB svc.evil.log 2\r\n{}\r\n".repeat(300));
  raw.send(`${EVENT}PING\r\n`);
  await raw.until(/PONG[^]*PONG/);
  const counts = fixture.bus.counts("evil");
  const refused = (counts.refusedBy["report-rate"] ?? 0) - (before.refusedBy["report-rate"] ?? 0);
  const passed = (counts.published["svc.evil.log"] ?? 0) - (before.published["svc.evil.log"] ?? 0);
  assert.equal(refused + passed, 300);
  assert.ok(passed >= 50 && passed < 200, `${passed} passed`);
  assert.equal(raw.closed, false);
  assert.match(raw.received, /Publish to "svc.evil.log" \(too many reports\)/);
  const large = "x".repeat(70_000);
  raw.send(`PUB svc.evil.log ${large.length}\r\n${large}\r\n`);
  await eventually("a refusal", () => (fixture.bus.counts("evil").refusedBy.oversized ?? 0) === 1);
});

test("one who sends nothing but what is refused is cut off, and answered no more than it reads", async () => {
  const raw = await fixture.raw("evil");
  raw.send("PUB cmd.pdns.stop 2\r\n{}\r\n".repeat(5000));
  await raw.untilClosed();
  assert.equal(fixture.bus.counts("evil").refusedBy["refusal-rate"], 1);
  assert.ok(raw.received.length < 64 * 1024);
  assert.equal(fixture.bus.counts("ids").refused, 0);
});

test("half-open handshakes end, and hold up nobody but their own instrument", async () => {
  const open = await Promise.all(Array.from({ length: 6 }, () => fixture.raw("pdns", false)));
  await eventually("connections", () => fixture.bus.counts("pdns").connections === 6);
  const seventh = await fixture.raw("pdns", false);
  await seventh.untilClosed();
  assert.equal(seventh.received, "-ERR 'maximum connections exceeded'\r\n");
  assert.equal(fixture.bus.counts("pdns").refusedBy.connections, 1);
  assert.ok((await ackMs(await fixture.client("ids"), "meanwhile")) < 5000);
  open[0]?.send("CONN"); // a beginning is no CONNECT
  for (const raw of open) await raw.untilClosed();
  assert.equal(fixture.bus.counts("pdns").refusedBy.handshake, 6);
  await eventually("room", () => fixture.bus.counts("pdns").connections === 0);
  (await fixture.raw("pdns")).socket.destroy();
});

test("subscriptions are limited, and counted", async () => {
  const raw = await fixture.raw("evil");
  for (let at = 0; at < 60; at += 1) raw.send(`SUB _INBOX.evil.${at} ${at}\r\n`);
  await raw.until(/maximum subscriptions exceeded/i);
  await eventually("all", () => fixture.bus.counts("evil").refusedBy.subscriptions === 20);
});

test("one who does not read is let go; memory stays bounded and the others go on", async () => {
  const ids = await fixture.client("ids");
  const record = new Uint8Array(500_000);
  for (let at = 0; at < 60; at += 1) {
    await jetstream(ids).publish("ev.ids.suricata.dns", record, {
      headers: eventHeaders(`large-${at}`, "suricata.dns"),
    });
  }
  const raw = await fixture.raw("pdns");
  raw.socket.pause();
  raw.send("SUB _INBOX.pdns.a 1\r\n");
  raw.send('PUB $JS.API.CONSUMER.MSG.NEXT.EV_ids.pdns_suricata=dns _INBOX.pdns.a 12\r\n{"batch":60}\r\n');
  const before = process.memoryUsage().rss;
  assert.ok((await ackMs(ids, "beside a slow reader")) < 5000);
  await eventually("the slow reader to be let go", () => fixture.bus.counts("pdns").connections === 0);
  assert.ok(process.memoryUsage().rss - before < 200 * 1024 * 1024);
  const { refusedBy } = fixture.bus.counts("pdns");
  assert.equal(refusedBy["slow-reader"], 1);
  assert.equal(fixture.bus.counts("ids").refused, 0);
});
