/** Consumers on a real broker: at least once, acknowledged after the handler, unreadable ones ended. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { connectBus, consumeEvents, type ConsumedEvent } from "@bulkhead/sdk";
import { eventually } from "@bulkhead/testkit";
import { AckPolicy } from "@nats-io/jetstream";
import { headers } from "@nats-io/transport-node";
import * as z from "zod";
import { openTestBus, type TestBus } from "./test-bus.ts";

const Data = z.object({ n: z.number() });
type Event = ConsumedEvent<z.infer<typeof Data>>;

async function openConsumer(bus: TestBus, handle: (events: readonly Event[]) => Promise<void>) {
  await bus.admit({ instrument: "ids", emits: [] });
  await bus.streams.consumers.add("EV_ids", {
    durable_name: "pdns_suricata=dns",
    filter_subject: "ev.ids.suricata.dns",
    ack_policy: AckPolicy.Explicit,
    ack_wait: 30e9,
  });
  const grant = { stream: "EV_ids", consumer: "pdns_suricata=dns", from: "ids", type: "suricata.dns" };
  const instrument = await bus.admit({ instrument: "pdns", consumers: [grant] });
  const connection = await connectBus({ instrument: "pdns", socketPath: instrument.socketPath });
  const problems: string[] = [];
  const consumer = consumeEvents(connection, {
    type: "suricata.dns",
    schema: Data,
    handle,
    onProblem: (text) => problems.push(text),
  });
  connection.listen({ welcome: ({ consumers }) => void consumer.follow(consumers) });
  connection.open();
  await connection.welcomed();
  const close = async (): Promise<void> => {
    await consumer.close();
    await connection.close();
  };
  return { instrument, connection, consumer, problems, close };
}

function emit(bus: TestBus, id: string, payload: string): void {
  const h = headers();
  h.set("ce-id", id);
  h.set("ce-time", "2026-01-02T03:04:05.5+00:00");
  bus.platform.publish("ev.ids.suricata.dns", payload, { headers: h });
}

async function unacknowledged(bus: TestBus): Promise<number> {
  const info = await bus.streams.consumers.info("EV_ids", "pdns_suricata=dns");
  return info.num_ack_pending + info.num_pending;
}

test("events come with their attributes, and are acknowledged after the handler resolved", async () => {
  await using bus = await openTestBus();
  const release = Promise.withResolvers<void>();
  const seen: Event[] = [];
  const { close } = await openConsumer(bus, async (events) => {
    seen.push(...events);
    await release.promise;
  });
  emit(bus, "a-1", '{"n":1}');
  const event = await eventually("the event", () => seen[0]);
  assert.deepEqual(
    { ...event, stored: "" },
    {
      id: "a-1",
      instrument: "ids",
      type: "suricata.dns",
      time: "2026-01-02T03:04:05.5+00:00",
      stored: "",
      sequence: 1,
      data: { n: 1 },
    },
  );
  assert.ok(!Number.isNaN(Date.parse(event.stored)));
  assert.equal(await unacknowledged(bus), 1, "not acknowledged while it is handled");
  release.resolve();
  await eventually("the acknowledgement", async () => (await unacknowledged(bus)) === 0);
  await close();
});

test("what cannot be read is ended and reported, and what comes after it arrives", async () => {
  await using bus = await openTestBus();
  const seen: number[] = [];
  const { instrument, close } = await openConsumer(bus, async (events) => {
    seen.push(...events.map(({ data }) => data.n));
  });
  emit(bus, "a-1", "no json");
  emit(bus, "a-2", '{"n":"one"}');
  bus.platform.publish("ev.ids.suricata.dns", '{"n":3}');
  emit(bus, "a-4", '{"n":4}');
  await eventually("the good one", () => seen.includes(4));
  await eventually("all dealt with", async () => (await unacknowledged(bus)) === 0);
  assert.deepEqual(seen, [4]);
  await eventually("reports", () => instrument.quarantined.length === 3);
  assert.deepEqual(
    instrument.quarantined.map((report) => ({ ...(report as object), reason: "" })),
    [1, 2, 3].map((sequence) => ({ from: "ids", type: "suricata.dns", sequence, reason: "" })),
  );
  await close();
});

test("a handler that fails gets its events again; ids that were handled are passed over", async () => {
  await using bus = await openTestBus();
  let failures = 2;
  const seen: string[] = [];
  const { problems, close } = await openConsumer(bus, async (events) => {
    if (failures-- > 0) throw new Error("disk full");
    seen.push(...events.map(({ id }) => id));
  });
  emit(bus, "a-1", '{"n":1}');
  await eventually("the third try", () => seen.length === 1);
  assert.equal(problems.length, 2);
  emit(bus, "a-1", '{"n":1}');
  emit(bus, "a-2", '{"n":2}');
  await eventually("the next", () => seen.includes("a-2"));
  await eventually("all acknowledged", async () => (await unacknowledged(bus)) === 0);
  assert.deepEqual(seen, ["a-1", "a-2"]);
  await close();
});

test("a link and a broker that die under load: each event is handled", async () => {
  await using bus = await openTestBus();
  const seen = new Set<number>();
  const { instrument, close } = await openConsumer(bus, async (events) => {
    for (const { data } of events) seen.add(data.n);
  });
  const total = 3_000;
  for (let n = 0; n < total; n += 1) emit(bus, `a-${n}`, JSON.stringify({ n }));
  await bus.platform.flush();
  await eventually("some", () => seen.size > 200);
  await instrument.cut();
  await instrument.join();
  await eventually("more", () => seen.size > 600);
  await bus.killBroker();
  await bus.startBroker();
  await eventually("all", () => seen.size === total, 120_000);
  await close();
});

test("a grant that is gone ends its consumer, a new one begins", async () => {
  await using bus = await openTestBus();
  const seen: number[] = [];
  const { connection, consumer, close } = await openConsumer(bus, async (events) => {
    seen.push(...events.map(({ data }) => data.n));
  });
  emit(bus, "a-1", '{"n":1}');
  await eventually("the first", () => seen.length === 1);
  await consumer.follow([]);
  emit(bus, "a-2", '{"n":2}');
  await bus.platform.flush();
  assert.deepEqual(seen, [1]);
  await consumer.follow(connection.welcome?.consumers ?? []);
  await eventually("the second", () => seen.length === 2);
  await close();
});
