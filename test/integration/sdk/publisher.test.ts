/** The publisher on a real broker: what it acknowledged is stored, once, and in order. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { busPublishPort, connectBus, Publisher } from "@bulkhead/sdk";
import { CE_HEADER, MESSAGE_ID_HEADER } from "@bulkhead/schema";
import { eventually } from "@bulkhead/testkit";
import { openTestBus, SENSOR, type TestBus } from "./test-bus.ts";

async function openPublisher(bus: TestBus, emits: readonly string[]) {
  const instrument = await bus.admit({ instrument: "ids", emits: [...emits] });
  const connection = await connectBus({ instrument: "ids", socketPath: instrument.socketPath });
  const publisher = new Publisher(busPublishPort(connection), { instrument: "ids" });
  connection.listen({ welcome: (welcome) => publisher.allow(welcome) });
  connection.open();
  await connection.welcomed();
  return { instrument, connection, publisher };
}

function offer(publisher: Publisher, n: number, type = "suricata.dns"): boolean {
  const record = Buffer.from(JSON.stringify({ n, text: "x".repeat(n % 700) }));
  return publisher.offer({ type, record, time: "2026-01-02T03:04:05.000006+00:00" });
}

async function storedNumbers(bus: TestBus): Promise<number[]> {
  const info = await bus.streams.streams.info("EV_ids");
  const numbers: number[] = [];
  for (let seq = info.state.first_seq; seq <= info.state.last_seq; seq += 1) {
    const message = await bus.streams.streams.getMessage("EV_ids", { seq });
    if (message !== null) numbers.push(message.json<{ n: number }>().n);
  }
  return numbers;
}

test("a record goes out untouched, with CloudEvents headers and its id as message id", async () => {
  await using bus = await openTestBus();
  const { connection, publisher } = await openPublisher(bus, ["suricata.dns"]);
  const record = Buffer.from('{"b":1,  "a":"\\u00e9\u00e9"}');
  publisher.offer({ type: "suricata.dns", record, time: "2026-01-02T03:04:05Z", id: "abc-1" });
  await publisher.flush();
  const message = await bus.streams.streams.getMessage("EV_ids", { seq: 1 });
  assert.ok(message !== null);
  assert.deepEqual(Buffer.from(message.data), record);
  assert.equal(message.subject, "ev.ids.suricata.dns");
  assert.equal(message.header.get(MESSAGE_ID_HEADER), "abc-1");
  assert.equal(message.header.get(CE_HEADER.id), "abc-1");
  assert.equal(message.header.get(CE_HEADER.specversion), "1.0");
  assert.equal(message.header.get(CE_HEADER.source), `/${SENSOR}/ids`);
  assert.equal(message.header.get(CE_HEADER.type), "suricata.dns");
  assert.equal(message.header.get(CE_HEADER.time), "2026-01-02T03:04:05Z");
  assert.deepEqual(publisher.counts(), { acknowledged: 1, refused: 0, waiting: 0 });
  await publisher.close(1_000);
  await connection.close();
});

test("links and a broker that die under load lose nothing and double nothing", async () => {
  await using bus = await openTestBus();
  const { instrument, connection, publisher } = await openPublisher(bus, ["suricata.dns"]);
  const total = 6_000;
  const feed = (async () => {
    for (let n = 0; n < total; n += 1) {
      if (!offer(publisher, n)) await publisher.room();
      if (n % 50 === 0) await delay(4);
    }
  })();
  await eventually("some are acknowledged", () => publisher.counts().acknowledged > 500);
  await instrument.cut();
  await delay(200);
  await instrument.join();
  await eventually("more are acknowledged", () => publisher.counts().acknowledged > 2_000);
  await bus.killBroker();
  await delay(200);
  await bus.startBroker();
  await feed;
  await publisher.flush();
  assert.deepEqual(publisher.counts(), { acknowledged: total, refused: 0, waiting: 0 });
  const numbers = await storedNumbers(bus);
  assert.equal(numbers.length, total, "each is stored once");
  assert.equal(new Set(numbers).size, total);
  assert.ok(instrument.greetings.count >= 2, "it greets after each reconnect");
  await publisher.close(1_000);
  await connection.close();
});

test("a full queue makes the producer wait, and what was not granted is refused and counted", async () => {
  await using bus = await openTestBus();
  const { instrument, connection, publisher } = await openPublisher(bus, ["suricata.dns"]);
  assert.equal(offer(publisher, 1, "suricata.tls"), true);
  await publisher.flush();
  assert.deepEqual(publisher.counts(), { acknowledged: 0, refused: 1, waiting: 0 });
  const tooLarge = Buffer.alloc(1024 * 1024 + 1, 0x20);
  publisher.offer({ type: "suricata.dns", record: tooLarge, time: "2026-01-02T03:04:05Z" });
  assert.equal(publisher.counts().refused, 2);
  await instrument.cut();
  await eventually("the loss of the link is noticed", () => !connection.connected);
  let taken = 0;
  while (offer(publisher, taken)) taken += 1;
  assert.equal(publisher.counts().waiting, taken + 1);
  let hadRoom = false;
  const room = publisher.room().then(() => (hadRoom = true));
  await delay(300);
  assert.equal(hadRoom, false, "no room while nothing goes out");
  await instrument.join();
  await room;
  await publisher.flush();
  assert.deepEqual(publisher.counts(), { acknowledged: taken + 1, refused: 2, waiting: 0 });
  await publisher.close(1_000);
  await connection.close();
});

test("bad ids and times are the producer's error", async () => {
  await using bus = await openTestBus();
  const { connection, publisher } = await openPublisher(bus, ["suricata.dns"]);
  const record = Buffer.from("{}");
  const good = { type: "suricata.dns", record, time: "2026-01-02T03:04:05Z", id: "a" };
  assert.throws(() => publisher.offer({ ...good, id: "a\r\nx: y" }), { code: "sdk-event-invalid" });
  assert.throws(() => publisher.offer({ ...good, time: "now" }), { code: "sdk-event-invalid" });
  await publisher.close(1_000);
  assert.throws(() => publisher.offer(good), { code: "sdk-publisher-closed" });
  await connection.close();
});
