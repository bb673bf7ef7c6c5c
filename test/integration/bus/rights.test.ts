/** What an instrument may do with the bus and what not, at the gate and at the broker behind it. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { subjects } from "@bulkhead/schema";
import { eventually } from "@bulkhead/testkit";
import { jetstream, jetstreamManager } from "@nats-io/jetstream";
import type { NatsConnection } from "@nats-io/transport-node";
import { BusFixture, collect, eventHeaders } from "./bus-fixture.ts";

let fixture: BusFixture;
before(async () => {
  fixture = await BusFixture.open();
});
after(() => fixture[Symbol.asyncDispose]());

/** Error texts that a connection is told from now on. */
function errorsOf(connection: NatsConnection): string[] {
  const errors: string[] = [];
  void (async () => {
    for await (const status of connection.status()) {
      if (status.type === "error") errors.push(status.error.message);
    }
  })();
  return errors;
}

test("an event goes from emitter to the granted consumer and to a reader", async () => {
  const ids = await fixture.client("ids");
  const ack = await jetstream(ids).publish("ev.ids.suricata.dns", '{"rrname":"a.test"}', {
    headers: eventHeaders("first", "suricata.dns"),
  });
  assert.equal(ack.stream, subjects.stream("ids"));
  const query = { limit: 10, follow: false, instrument: "ids" };
  const [event, ...more] = await collect(fixture.bus.events(query, AbortSignal.timeout(30_000)));
  assert.deepEqual(more, []);
  assert.equal(event?.id, "first");
  assert.equal(event.instrument, "ids");
  assert.deepEqual(event.data, { rrname: "a.test" });
  assert.equal(event.sequence, ack.seq);
  await eventually("counts", () => fixture.bus.counts("ids").published["ev.ids.suricata.dns"] === 1);
  const pdns = await fixture.client("pdns");
  const [message] = await pull(pdns, 1);
  assert.equal(message?.subject, "ev.ids.suricata.dns");
});

const FORBIDDEN_PUBLISH = [
  "ev.ids.suricata.dns",
  "ev.evil.undeclared",
  "ev.evil.suricata",
  "ev.evil.suricata.dns.more",
  "ev.*.suricata.dns",
  "ev.>",
  "ev.platform.capture.ledger",
  "cmd.pdns.stop",
  "cmd.evil.config",
  "msg.pdns.evil.ruleset.apply",
  "msg.pdns.rules.ruleset.apply",
  "svc.ids.health",
  "svc.evil.other",
  "_INBOX.platform.x.1",
  "_INBOX.pdns.x.1",
  "_INBOX.evil.x.1",
  "$JS.API.INFO",
  "$JS.API.STREAM.NAMES",
  "$JS.API.STREAM.DELETE.EV_ids",
  "$JS.API.STREAM.PURGE.EV_ids",
  "$JS.API.STREAM.MSG.GET.EV_ids",
  "$JS.API.DIRECT.GET.EV_ids",
  "$JS.API.CONSUMER.CREATE.EV_ids",
  "$JS.API.CONSUMER.DELETE.EV_ids.pdns_suricata=dns",
  "$JS.API.CONSUMER.INFO.EV_ids.pdns_suricata=dns",
  "$JS.API.CONSUMER.MSG.NEXT.EV_ids.pdns_suricata=dns",
  "$JS.ACK.EV_ids.pdns_suricata=dns.1.1.1.1.0",
  "$JS.FC.EV_ids.x",
  "$SYS.REQ.SERVER.PING",
  "$SYS.REQ.USER.INFO",
  "$SYS.REQ.ACCOUNT.PING.CONNZ",
  "rules.0",
];

for (const way of ["client", "direct"] as const) {
  const place = way === "client" ? "the gate" : "the broker alone, with the instrument's password";
  test(`publishing what was not granted is refused by ${place}`, async () => {
    const evil = await fixture[way]("evil");
    const platform = await fixture.direct("platform");
    const jsm = await jetstreamManager(platform, { checkAPI: false });
    const before = (await jsm.streams.info("EV_ids")).state.last_seq;
    const pdns = await fixture.client("pdns");
    const heard: string[] = [];
    pdns.subscribe("cmd.pdns.>", { callback: (_, message) => void heard.push(message.subject) });
    pdns.subscribe("msg.pdns.>", { callback: (_, message) => void heard.push(message.subject) });
    pdns.subscribe("_INBOX.pdns.>", { callback: (_, message) => void heard.push(message.subject) });
    await pdns.flush();
    const errors = errorsOf(evil);
    const refusedBefore = fixture.bus.counts("evil").refused;
    for (const subject of FORBIDDEN_PUBLISH) {
      const denials = errors.length;
      evil.publish(subject, "{}");
      await evil.flush();
      await eventually(`a denial of ${subject}`, () => errors.length > denials);
      assert.match(errors.at(-1) ?? "", /Permissions Violation for Publish/, subject);
      assert.ok(errors.at(-1)?.includes(`"${subject}"`), subject);
    }
    await pdns.flush();
    assert.deepEqual(heard, []);
    assert.equal((await jsm.streams.info("EV_ids")).state.last_seq, before);
    const refused = fixture.bus.counts("evil").refused - refusedBefore;
    assert.equal(refused, way === "client" ? FORBIDDEN_PUBLISH.length : 0);
    assert.equal(evil.isClosed(), false);
  });

  test(`subscribing to what is another's is refused by ${place}`, async () => {
    const evil = await fixture[way]("evil");
    const errors = errorsOf(evil);
    const heard: string[] = [];
    const wanted = [
      ">",
      "*.>",
      "cmd.>",
      "cmd.*.stop",
      "cmd.pdns.>",
      "msg.>",
      "ev.>",
      "ev.ids.suricata.dns",
      "svc.>",
      "_INBOX.>",
      "_INBOX.platform.>",
      "_INBOX.pdns.>",
      "$JS.>",
      "$JS.EVENT.ADVISORY.>",
      "$SYS.>",
    ];
    for (const subject of wanted) {
      for (const queue of [undefined, "workers"]) {
        const denials = errors.length;
        evil.subscribe(subject, {
          ...(queue === undefined ? {} : { queue }),
          callback: (error, message) => {
            if (error === null) heard.push(message.subject);
          },
        });
        await evil.flush();
        await eventually(`a denial of ${subject}`, () => errors.length > denials);
        assert.match(errors.at(-1) ?? "", /Permissions Violation for Subscription/, subject);
      }
    }
    const ids = await fixture.client("ids");
    await jetstream(ids).publish("ev.ids.suricata.dns", "{}", {
      headers: eventHeaders(`heard-${way}`, "suricata.dns"),
    });
    await evil.flush();
    assert.deepEqual(heard, []);
  });
}

test("refusals are counted for the one that sent, by reason, with the newest kept", async () => {
  const evil = await fixture.client("evil");
  const before = fixture.bus.counts("evil").refusedBy["publish-subject"] ?? 0;
  const others = ["ids", "pdns"].map((name) => fixture.bus.counts(name).refused);
  evil.publish("cmd.pdns.stop", "{}");
  await evil.flush();
  const counts = fixture.bus.counts("evil");
  assert.equal(counts.refusedBy["publish-subject"], before + 1);
  assert.equal(counts.refusals.at(-1)?.detail, "cmd.pdns.stop");
  assert.deepEqual(
    ["ids", "pdns"].map((name) => fixture.bus.counts(name).refused),
    others,
  );
});

test("INFO tells no address, and credentials stay on the platform's side", async () => {
  const raw = await fixture.raw("ids");
  const info = /^INFO (.*)\r\n/.exec(raw.received)?.[1] ?? "";
  assert.ok(info.includes('"max_payload"'));
  for (const secret of [
    "client_ip",
    "connect_urls",
    "nonce",
    "127.0.0.1",
    String(fixture.port),
    "auth_required",
  ]) {
    assert.ok(!info.includes(secret), secret);
  }
});

test("what an instrument says of itself reaches the platform checked, and under its own name", async () => {
  const ids = await fixture.client("ids");
  const welcome = await ids.request("svc.ids.hello", '{"sdk":"1"}', { timeout: 10_000 });
  assert.deepEqual(welcome.json(), {
    instrument: "ids",
    sensor: "lab",
    consumers: [],
    emits: ["suricata.dns", "suricata.alert"],
    sends: [],
    accepts: [],
    publishes: [],
    receives: [],
  });
  const pdns = await fixture.client("pdns");
  const other = await pdns.request("svc.pdns.hello", '{"sdk":"1"}', { timeout: 10_000 });
  assert.deepEqual(other.json<{ consumers: unknown }>().consumers, [
    { stream: "EV_ids", consumer: "pdns_suricata=dns", from: "ids", type: "suricata.dns" },
  ]);
  await eventually("hello", () => fixture.hellos.includes("ids") && fixture.hellos.includes("pdns"));
  const report = {
    state: "ready",
    detail: "",
    restarts: 0,
    configVersion: null,
    packets: null,
    events: { acknowledged: 1, refused: 0, waiting: 0 },
    oldestRecord: null,
  };
  ids.publish("svc.ids.health", JSON.stringify(report));
  ids.publish("svc.ids.health", JSON.stringify({ ...report, state: "perfect" }));
  ids.publish("svc.ids.health", "not JSON");
  await eventually("reports", () => fixture.bus.counts("ids").refusedBy["report-schema"] === 2);
  assert.deepEqual(fixture.health, [{ from: "ids", report }]);
});

test("a configuration is answered by the instrument alone, and nonsense does not count", async () => {
  const ids = await fixture.client("ids");
  const command = { version: "v1", config: { home: "10.0.0.0/8" }, retentionMs: null, files: null };
  const asked: unknown[] = [];
  let answer: unknown = { outcome: "applied", version: "v1" };
  ids.subscribe("cmd.ids.*", {
    callback: (_, message) => {
      asked.push(message.json());
      message.respond(JSON.stringify(answer));
      message.respond(JSON.stringify({ outcome: "applied", version: "second answer" }));
    },
  });
  await ids.flush();
  const options = { timeoutMs: 10_000 };
  assert.deepEqual(await fixture.bus.sendConfig("ids", command, options), answer);
  assert.deepEqual(asked, [command]);
  answer = { outcome: "perhaps" };
  await assert.rejects(fixture.bus.sendConfig("ids", command, options), { code: "bus-bad-answer" });
  const short = { timeoutMs: 200 };
  await assert.rejects(fixture.bus.sendConfig("pdns", command, short), { code: "bus-no-answer" });
  const given = AbortSignal.abort();
  await assert.rejects(fixture.bus.sendConfig("ids", command, { ...options, signal: given }), {
    code: "bus-no-answer",
  });
});

test("the log is kept, read back, and followed", async () => {
  const ids = await fixture.client("ids");
  const line = (message: string): string =>
    JSON.stringify({ time: new Date().toISOString(), level: "info", message });
  for (let at = 1; at <= 5; at += 1) ids.publish("svc.ids.log", line(`line ${at}`));
  ids.publish("svc.ids.log", "not a line");
  await ids.flush();
  const signal = AbortSignal.timeout(30_000);
  const stored = await collect(fixture.bus.logs("ids", { limit: 4, follow: false }, signal));
  assert.deepEqual(
    stored.map(({ message }) => message),
    ["line 3", "line 4", "line 5"],
  );
  assert.deepEqual(await collect(fixture.bus.logs("pdns", { limit: 3, follow: false }, signal)), []);
  const end = new AbortController();
  const followed: string[] = [];
  const following = (async () => {
    const lines = fixture.bus.logs("ids", { limit: 2, follow: true }, end.signal);
    for await (const { message } of lines) followed.push(message);
  })();
  // The line that is none is among the last two.
  await eventually("what is stored", () => followed.length === 1);
  ids.publish("svc.ids.log", line("line 6"));
  ids.publish("svc.ids.log", line("line 7"));
  await eventually("what comes", () => followed.length === 3);
  assert.deepEqual(followed, ["line 5", "line 6", "line 7"]);
  end.abort();
  await following;
});

/** Pulls and acknowledges through the granted consumer, as the SDK does. */
async function pull(connection: NatsConnection, count: number) {
  const info = { stream_name: "EV_ids", name: "pdns_suricata=dns", config: {} } as Parameters<
    ReturnType<typeof jetstream>["consumers"]["getConsumerFromInfo"]
  >[0];
  const consumer = jetstream(connection).consumers.getConsumerFromInfo(info);
  const messages = [];
  for await (const message of await consumer.fetch({ max_messages: count, expires: 10_000 })) {
    message.ack();
    messages.push(message);
  }
  return messages;
}
