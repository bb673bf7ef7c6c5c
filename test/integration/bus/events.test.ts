/** Reading events back: the newest that match, merged, deduplicated, followed; what cannot be read is counted. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import type { EventQuery, EventRecord } from "@bulkhead/schema";
import { eventually } from "@bulkhead/testkit";
import { jetstream } from "@nats-io/jetstream";
import type { NatsConnection } from "@nats-io/transport-node";
import { BusFixture, collect, DESIRED, eventHeaders, IDS, makeSocketDir } from "./bus-fixture.ts";

let fixture: BusFixture;
let ids: NatsConnection;
let evil: NatsConnection;
before(async () => {
  fixture = await BusFixture.open();
  ids = await fixture.client("ids");
  evil = await fixture.client("evil");
  for (let at = 0; at < 200; at += 1) {
    // One alert in 40, so that the newest alerts lie far back among the DNS events.
    await emit(ids, "ids", at % 40 === 0 ? "suricata.alert" : "suricata.dns", `ids-${at}`);
    if (at % 2 === 0) await emit(evil, "evil", "suricata.dns", `evil-${at}`);
  }
});
after(() => fixture[Symbol.asyncDispose]());

async function emit(
  connection: NatsConnection,
  name: string,
  type: string,
  id: string,
  record = JSON.stringify({ id }),
): Promise<void> {
  const headers = eventHeaders(id, type);
  await jetstream(connection).publish(`ev.${name}.${type}`, record, { headers });
}

function query(fields: Partial<EventQuery>, signal = AbortSignal.timeout(30_000)) {
  return fixture.bus.events({ limit: 100, follow: false, ...fields }, signal);
}

const idsOf = (events: readonly EventRecord[]): readonly string[] => events.map(({ id }) => id);

test("the newest of all emitters, in the order in which they were stored", async () => {
  const events = await collect(query({ limit: 30 }));
  const expected = Array.from({ length: 200 }, (_, at) => at)
    .flatMap((at) => (at % 2 === 0 ? [`ids-${at}`, `evil-${at}`] : [`ids-${at}`]))
    .slice(-30);
  assert.deepEqual(idsOf(events), expected);
});

test("of one instrument, of one type, and more than there are", async () => {
  assert.deepEqual(idsOf(await collect(query({ instrument: "ids", type: "suricata.alert", limit: 3 }))), [
    "ids-80",
    "ids-120",
    "ids-160",
  ]);
  assert.equal((await collect(query({ type: "suricata.alert", limit: 1000 }))).length, 5);
  assert.equal((await collect(query({ limit: 10_000 }))).length, 300);
  assert.deepEqual(await collect(query({ type: "suricata.flow" })), []);
  assert.deepEqual(await collect(query({ instrument: "nobody" })), []);
});

test("what was stored since", async () => {
  const all = await collect(query({ instrument: "ids", limit: 1000 }));
  const from = all[150];
  assert.ok(from);
  const since = await collect(query({ instrument: "ids", since: from.stored, limit: 1000 }));
  // Several may have been stored in the same millisecond.
  const expected = all.filter(({ stored }) => stored >= from.stored);
  assert.deepEqual(idsOf(since), idsOf(expected));
  assert.deepEqual(
    idsOf(await collect(query({ instrument: "ids", since: from.stored, limit: 5 }))),
    idsOf(all).slice(-5),
  );
  const future = new Date(Date.now() + 3600_000).toISOString();
  assert.deepEqual(await collect(query({ since: future })), []);
});

test("what cannot be read is left out, and counted once against its emitter alone", async () => {
  await emit(evil, "evil", "suricata.dns", "bad-json", "no JSON");
  await jetstream(evil).publish("ev.evil.suricata.dns", "{}", { msgID: "no-envelope" });
  const headers = eventHeaders("bad-type", "suricata.alert");
  await jetstream(evil).publish("ev.evil.suricata.dns", "{}", { headers });
  await emit(evil, "evil", "suricata.dns", "good");
  for (let reads = 0; reads < 2; reads += 1) {
    assert.deepEqual(idsOf(await collect(query({ instrument: "evil", limit: 4 }))), ["good"]);
  }
  const { count, newest } = fixture.bus.counts("evil").quarantined;
  assert.equal(count, 3);
  assert.deepEqual(
    newest.map(({ reason, by }) => [reason, by]),
    [
      ["not JSON", null],
      ["ce-specversion is not 1.0", null],
      ["ce-type is not that of the subject", null],
    ],
  );
  assert.equal(fixture.bus.counts("ids").quarantined.count, 0);
});

test("the same id is given once, also where the broker stored it twice", async () => {
  const headers = eventHeaders("twice", "suricata.alert");
  headers.delete("Nats-Msg-Id");
  for (let at = 0; at < 2; at += 1) {
    await jetstream(ids).publish("ev.ids.suricata.alert", "{}", { headers });
  }
  const events = await collect(query({ instrument: "ids", type: "suricata.alert", limit: 2 }));
  assert.deepEqual(idsOf(events), ["twice"]);
});

test("a consumer's report counts against the emitter, if it may read what it reports", async () => {
  const pdns = await fixture.client("pdns");
  const report = { from: "ids", type: "suricata.dns", sequence: 2, reason: "no rrname" };
  pdns.publish("svc.pdns.quarantine", JSON.stringify(report));
  evil.publish("svc.evil.quarantine", JSON.stringify(report));
  await eventually("both", () => fixture.bus.counts("evil").refusedBy["report-schema"] === 1);
  await eventually("the report", () => fixture.bus.counts("ids").quarantined.count === 1);
  assert.equal(fixture.bus.counts("ids").quarantined.newest[0]?.by, "pdns");
});

test("following: all that comes, of emitters that come later too, until it is aborted", async () => {
  const end = new AbortController();
  const got: string[] = [];
  const reading = (async () => {
    for await (const { id } of query({ limit: 1, follow: true }, end.signal)) got.push(id);
  })();
  await eventually("the stored one", () => got.length === 1);
  for (let at = 0; at < 50; at += 1) await emit(ids, "ids", "suricata.dns", `live-${at}`);
  await eventually("live events", () => got.length === 51);
  const later = { ...IDS, name: "later" };
  await makeSocketDir(fixture.layout.socketsDir, "later");
  await fixture.bus.applyGrants({ ...DESIRED, instruments: [...DESIRED.instruments, later] });
  await eventually("its gate", () => fixture.bus.state().waiting.length === 0);
  await emit(await fixture.client("later"), "later", "suricata.dns", "from-a-new-one");
  await eventually("the new one's event", () => got.includes("from-a-new-one"));
  await fixture.bus.emit("capture.ledger", { seen: 1 }, "ledger-1");
  await eventually("the platform's own", () => got.includes("ledger-1"));
  end.abort();
  await reading;
});

test("a slow reader gets everything, and what is ahead of it is bounded", async () => {
  const end = new AbortController();
  const total = 3000;
  const reader = query({ instrument: "evil", limit: 1, follow: true }, end.signal);
  await reader.next();
  const next = reader.next();
  const record = JSON.stringify({ filler: "x".repeat(10_000) });
  const platform = await fixture.direct("platform");
  for (let at = 0; at < total; at += 1) {
    evil.publish("ev.evil.suricata.dns", record, { headers: eventHeaders(`slow-${at}`, "suricata.dns") });
    if (at % 200 === 199) await evil.flush();
  }
  await evil.flush();
  await platform.flush();
  await delay(300);
  const bytes = process.memoryUsage().rss;
  const got = [(await next).value?.id];
  while (got.length < total) got.push((await reader.next()).value?.id);
  assert.deepEqual(
    got,
    Array.from({ length: total }, (_, at) => `slow-${at}`),
  );
  assert.ok(process.memoryUsage().rss - bytes < 150 * 1024 * 1024);
  end.abort();
  await reader.return();
});
