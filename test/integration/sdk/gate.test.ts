/** The SDK through the platform's own bus gate, with its permissions and budgets. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { busPublishPort, connectBus, consumeEvents, Publisher } from "@bulkhead/sdk";
import { eventually } from "@bulkhead/testkit";
import * as z from "zod";
import { BusFixture } from "../bus/bus-fixture.ts";

const Data = z.object({ n: z.number() });

async function openEmitter(fixture: BusFixture) {
  const connection = await connectBus({ instrument: "ids", socketPath: fixture.socketPath("ids") });
  const publisher = new Publisher(busPublishPort(connection), { instrument: "ids" });
  const denied: string[] = [];
  connection.listen({
    welcome: (welcome) => publisher.allow(welcome),
    denied: (_operation, subject) => {
      denied.push(subject);
      publisher.deny(subject);
    },
  });
  connection.open();
  await connection.welcomed();
  const close = async (): Promise<void> => {
    await publisher.close(5_000);
    await connection.close();
  };
  return { connection, publisher, denied, close };
}

test("events pass the gate to a granted consumer, each once, over a crash of the broker", async () => {
  await using fixture = await BusFixture.open();
  const { publisher, close } = await openEmitter(fixture);
  const connection = await connectBus({ instrument: "pdns", socketPath: fixture.socketPath("pdns") });
  const seen: number[] = [];
  const problems: string[] = [];
  const consumer = consumeEvents(connection, {
    type: "suricata.dns",
    schema: Data,
    handle: async (events) => void seen.push(...events.map(({ data }) => data.n)),
    onProblem: (text) => problems.push(text),
  });
  connection.listen({ welcome: ({ consumers }) => void consumer.follow(consumers) });
  connection.open();
  await connection.welcomed();

  const total = 5_000;
  for (let n = 0; n < total; n += 1) {
    const record = Buffer.from(JSON.stringify({ n }));
    if (!publisher.offer({ type: "suricata.dns", time: "2026-01-02T03:04:05Z", record }))
      await publisher.room();
    if (n === total / 2) await fixture.broker.crash();
  }
  await publisher.flush();
  assert.deepEqual(publisher.counts(), { acknowledged: total, refused: 0, waiting: 0 });
  await eventually("all events", () => new Set(seen).size === total, 120_000);
  await consumer.close();
  await connection.close();
  await close();
});

test("a type that the gate does not let through is refused and holds nothing up", async () => {
  await using fixture = await BusFixture.open();
  const { connection, publisher, denied, close } = await openEmitter(fixture);
  // As if the grant had been taken back a moment ago.
  publisher.allow({ sensor: "lab", emits: ["suricata.dns", "suricata.tls"] });
  for (let n = 0; n < 100; n += 1) {
    const type = n % 10 === 0 ? "suricata.tls" : "suricata.dns";
    publisher.offer({ type, time: "2026-01-02T03:04:05Z", record: Buffer.from(JSON.stringify({ n })) });
  }
  await publisher.flush();
  assert.deepEqual(publisher.counts(), { acknowledged: 90, refused: 10, waiting: 0 });
  assert.ok(denied.includes("ev.ids.suricata.tls"));
  assert.equal(connection.connected, true, "the connection was kept");
  await close();
});
