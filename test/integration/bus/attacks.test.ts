/**
 * The attacks on the bus that are known to work where nothing stops them. Each is tried through
 * the gate, and, where that is possible, without it as the control: there it must succeed.
 */
import assert from "node:assert/strict";
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { createConnection } from "node:net";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { PLATFORM_NAME } from "@bulkhead/schema";
import { eventually } from "@bulkhead/testkit";
import { jetstream, jetstreamManager } from "@nats-io/jetstream";
import { connect, type NatsConnection } from "@nats-io/transport-node";
import { brokerPaths } from "../../../packages/sensord/src/bus/broker-config.ts";
import { readBrokerState } from "../../../packages/sensord/src/bus/broker-state.ts";
import { freePort, TestBroker } from "../../../packages/testkit/src/broker.ts";
import { BusFixture, DESIRED, EVIL, eventHeaders, hpub, IDS, PDNS } from "./bus-fixture.ts";
import { RawClient } from "./raw-client.ts";

const MESSAGE = { id: "m", kind: "message.send", verb: "ruleset.apply" } as const;
const ACCEPT = { id: "m", kind: "message.accept", verb: "ruleset.apply" } as const;

let fixture: BusFixture;
before(async () => {
  fixture = await BusFixture.open({
    desired: {
      ...DESIRED,
      instruments: [
        { ...IDS, needs: [...IDS.needs, ACCEPT] },
        PDNS,
        { ...EVIL, needs: [...EVIL.needs, MESSAGE] },
      ],
      grants: {
        ...DESIRED.grants,
        messages: [{ from: "evil", verb: "ruleset.apply", to: "ids" }],
        resources: [],
      },
    },
  });
});
after(() => fixture[Symbol.asyncDispose]());

/** Subjects on which `victim` hears something while `attack` runs. */
async function heardDuring(
  victim: NatsConnection,
  subject: string,
  attack: () => Promise<void>,
  expected: number,
): Promise<readonly string[]> {
  const heard: string[] = [];
  const subscription = victim.subscribe(subject, {
    callback: (_, message) => void heard.push(message.subject),
  });
  await victim.flush();
  await attack();
  if (expected > 0) await eventually("the attack to arrive", () => heard.length >= expected);
  // What was sent before this passed through the broker has arrived by then.
  await (await fixture.direct(PLATFORM_NAME)).flush();
  await victim.flush();
  subscription.unsubscribe();
  return heard;
}

/** The ways to have somebody else publish where one may not. */
const REPLY_ATTACKS: readonly {
  readonly name: string;
  readonly attacker: "evil" | "pdns";
  readonly target: string;
  readonly send: (connection: NatsConnection, id: string) => void;
}[] = [
  {
    name: "the PubAck of an event",
    attacker: "evil",
    target: "cmd.pdns.stop",
    send: (connection, id) =>
      connection.publish("ev.evil.suricata.dns", "{}", {
        headers: eventHeaders(id, "suricata.dns"),
        reply: "cmd.pdns.stop",
      }),
  },
  {
    name: "the platform's answer to a greeting",
    attacker: "evil",
    target: "cmd.pdns.stop",
    send: (connection) => connection.publish("svc.evil.hello", '{"sdk":"1"}', { reply: "cmd.pdns.stop" }),
  },
  {
    name: "an event that a pull delivers",
    attacker: "pdns",
    target: "cmd.ids.config",
    send: (connection) =>
      connection.publish("$JS.API.CONSUMER.MSG.NEXT.EV_ids.pdns_suricata=dns", '{"batch":1}', {
        reply: "cmd.ids.config",
      }),
  },
  {
    name: "the answer of a peer, which allow_responses lets through",
    attacker: "evil",
    target: "cmd.pdns.stop",
    send: (connection) => connection.publish("msg.ids.evil.ruleset.apply", "{}", { reply: "cmd.pdns.stop" }),
  },
  {
    name: "the PubAck of an event, as an answer to another's request",
    attacker: "evil",
    target: "_INBOX.pdns.mux.1",
    send: (connection, id) =>
      connection.publish("ev.evil.suricata.dns", "{}", {
        headers: eventHeaders(id, "suricata.dns"),
        reply: "_INBOX.pdns.mux.1",
      }),
  },
];

for (const [index, attack] of REPLY_ATTACKS.entries()) {
  test(`reply subject: ${attack.name} cannot be sent to ${attack.target}`, async () => {
    const victim = await fixture.client(attack.target.split(".")[1] ?? "");
    // Without a gate of its own, so that the attacker's alone is what stops it.
    const ids = await fixture.direct("ids");
    ids.subscribe("msg.ids.>", { callback: (_, message) => void message.respond("{}") });
    await jetstream(ids).publish("ev.ids.suricata.dns", "{}", {
      headers: eventHeaders(`bait-${index}`, "suricata.dns"),
    });
    const run = (connection: NatsConnection, id: string) => async (): Promise<void> => {
      attack.send(connection, id);
      await connection.flush();
    };
    const control = await fixture.direct(attack.attacker);
    const reached = await heardDuring(victim, attack.target, run(control, `control-${index}`), 1);
    assert.ok(reached.length > 0, "control: without the gate it arrives");
    const before = fixture.bus.counts(attack.attacker).refusedBy["reply-subject"] ?? 0;
    const attacker = await fixture.client(attack.attacker);
    assert.deepEqual(await heardDuring(victim, attack.target, run(attacker, `gate-${index}`), 0), []);
    assert.equal(fixture.bus.counts(attack.attacker).refusedBy["reply-subject"], before + 1);
  });
}

test("a second CONNECT does not make it another user, even with the platform's password", async () => {
  const state = await readBrokerState(brokerPaths(fixture.layout));
  const connectAs = (user: string): string =>
    `CONNECT ${JSON.stringify({ verbose: false, user, pass: state?.passwords[user] })}\r\n`;
  const pdns = await fixture.client("pdns");
  const order = `${connectAs(PLATFORM_NAME)}PUB cmd.pdns.stop 2\r\n{}\r\nPING\r\n`;
  const control = async (): Promise<void> => {
    const socket = createConnection({ host: "127.0.0.1", port: fixture.port });
    await once(socket, "connect");
    using raw = new RawClient(socket);
    raw.send(`${connectAs("evil")}${order}`);
    await raw.until(/PONG/);
  };
  assert.equal((await heardDuring(pdns, "cmd.pdns.>", control, 1)).length, 1, "control");
  const attack = async (): Promise<void> => {
    const raw = await fixture.raw("evil");
    raw.send(order);
    await raw.untilClosed();
    assert.match(raw.received, /-ERR 'Unknown Protocol Operation'\r\n$/);
  };
  assert.deepEqual(await heardDuring(pdns, "cmd.pdns.>", attack, 0), []);
  assert.equal(fixture.bus.counts("evil").refusedBy["second-connect"], 1);
});

test("credentials in the client's own CONNECT are not taken", async () => {
  const state = await readBrokerState(brokerPaths(fixture.layout));
  const raw = await fixture.raw("evil", false);
  const { [PLATFORM_NAME]: pass } = state?.passwords ?? {};
  raw.send(`CONNECT ${JSON.stringify({ user: PLATFORM_NAME, pass })}\r\n`);
  raw.send("SUB svc.> 1\r\nPUB cmd.pdns.stop 0\r\n\r\nPING\r\n");
  await raw.until(/PONG/);
  assert.match(raw.received, /Permissions Violation for Subscription to "svc.>"/);
  assert.match(raw.received, /Permissions Violation for Publish to "cmd.pdns.stop"/);
});

test("a guessed message id does not make another's event a duplicate", async () => {
  const [ids, evil] = [await fixture.client("ids"), await fixture.client("evil")];
  const id = "guessable-1";
  const first = await jetstream(evil).publish("ev.evil.suricata.dns", "{}", {
    headers: eventHeaders(id, "suricata.dns"),
  });
  const second = await jetstream(ids).publish("ev.ids.suricata.dns", "{}", {
    headers: eventHeaders(id, "suricata.dns"),
  });
  assert.deepEqual([first.duplicate, second.duplicate], [false, false]);
  assert.deepEqual([first.stream, second.stream], ["EV_evil", "EV_ids"]);
  await using stack = new AsyncDisposableStack();
  const port = await freePort();
  const configFile = join(fixture.layout.brokerDir, "control.conf");
  const store = join(fixture.layout.brokerDir, "control-store");
  await writeFile(
    configFile,
    JSON.stringify({ listen: `127.0.0.1:${port}`, jetstream: { store_dir: store } }),
  );
  stack.use(await TestBroker.start({ natsServer: fixture.natsServer, configFile, port }));
  const open = stack.use(await connect({ servers: `127.0.0.1:${port}` }));
  await (await jetstreamManager(open)).streams.add({ name: "ALL", subjects: ["ev.>"] });
  await jetstream(open).publish("ev.evil.suricata.dns", "{}", { msgID: id });
  const lost = await jetstream(open).publish("ev.ids.suricata.dns", "{}", { msgID: id });
  assert.equal(lost.duplicate, true, "control: one stream for all drops it");
});

test("headers that steer the broker are refused, however they are brought in", async () => {
  const raw = await fixture.raw("evil");
  const subject = "ev.evil.suricata.dns";
  const before = fixture.bus.counts("evil");
  const attempts = [
    hpub(subject, ["Nats-Rollup: all"], "{}"),
    hpub(subject, ["ce-id: 1", "nats-rollup: all"], "{}"),
    hpub(subject, ["Nats-Trace-Dest: cmd.pdns.stop"], "{}"),
    hpub(subject, ["Nats-Schedule-Target: cmd.pdns.stop"], "{}"),
    hpub(subject, ["ce-id: 1\r\nNats-Rollup: all"], "{}"),
    hpub(subject, ["ce-id: 1\nNats-Rollup: all"], "{}"),
    hpub(subject, [" Nats-Rollup: all"], "{}"),
    `HPUB ${subject} 2 4\r\n{}{}\r\n`,
    `HPUB ${subject} 0 2\r\n{}\r\n`,
  ];
  for (const attempt of attempts) raw.send(attempt);
  raw.send("PING\r\n");
  await raw.until(/PONG\r\n[^]*PONG\r\n/);
  const counts = fixture.bus.counts("evil");
  const headerRefusals = (counts.refusedBy.header ?? 0) - (before.refusedBy.header ?? 0);
  assert.equal(headerRefusals, attempts.length);
  assert.equal(counts.published[subject], before.published[subject]);
  // With a header length that hides part of the block in the payload, it is payload.
  const block = "NATS/1.0\r\n\r\n";
  const payload = "Nats-Rollup: all\r\n\r\n";
  raw.send(`HPUB ${subject} _INBOX.evil.a 12 ${12 + payload.length}\r\n${block}${payload}\r\n`);
  raw.send("SUB _INBOX.evil.a 1\r\nPING\r\n");
  await eventually(
    "the event",
    () => fixture.bus.counts("evil").published[subject] === (before.published[subject] ?? 0) + 1,
  );
  assert.equal(raw.closed, false);
});

const GARBAGE: readonly (readonly [string, string])[] = [
  ["random bytes", "\x00\x01\xfe\xff\x80\x90garbage\r\n"],
  ["another protocol", "GET / HTTP/1.1\r\nHost: x\r\n\r\n"],
  ["lower case", "pub ev.evil.suricata.dns 2\r\n{}\r\n"],
  ["bare line feeds", "PUB ev.evil.suricata.dns 2\n{}\n"],
  ["a NUL in a subject", "PUB ev.evil\0 2\r\n{}\r\n"],
  ["a tab between arguments", "PUB\tev.evil.suricata.dns\t2\r\n{}\r\n"],
  ["a size that is none", "PUB ev.evil.suricata.dns 2x\r\n{}\r\n"],
  ["a negative size", "PUB ev.evil.suricata.dns -2\r\n{}\r\n"],
  ["a payload longer than its size", "PUB ev.evil.suricata.dns 2\r\n{}PUB cmd.pdns.stop 0\r\n\r\n"],
  ["a server's operation", "MSG cmd.pdns.stop 1 2\r\n{}\r\n"],
  ["a route's operation", "RMSG $G cmd.pdns.stop 2\r\n{}\r\n"],
  ["a leaf node's operation", "LS+ cmd.>\r\n"],
  ["an INFO", 'INFO {"server_id":"evil"}\r\n'],
];

test("what is not the protocol closes that connection, and is counted for that instrument", async () => {
  const ids = await fixture.client("ids");
  const pdns = await fixture.client("pdns");
  const attack = async (): Promise<void> => {
    for (const [name, text] of GARBAGE) {
      const before = fixture.bus.counts("evil").refusedBy.protocol ?? 0;
      const raw = await fixture.raw("evil");
      raw.send(text);
      await raw.untilClosed();
      assert.match(raw.received, /-ERR '(Unknown Protocol Operation|Parser Error)'\r\n$/, name);
      assert.equal(fixture.bus.counts("evil").refusedBy.protocol, before + 1, name);
    }
  };
  assert.deepEqual(await heardDuring(pdns, "cmd.pdns.>", attack, 0), []);
  await ids.flush();
  assert.equal(fixture.bus.counts("ids").refusedBy.protocol, undefined);
});

test("control lines without an end, and frames over the size, are cut off", async () => {
  const cases: readonly string[] = [
    `PUB ${"a".repeat(5000)}`,
    `SUB ${"a".repeat(5000)} 1\r\n`,
    `PUB ev.evil.suricata.dns ${1024 * 1024 + 1}\r\n`,
    "PUB ev.evil.suricata.dns 999999999\r\n",
    "HPUB ev.evil.suricata.dns 9000 9000\r\n",
    `HPUB ev.evil.suricata.dns 12 ${1024 * 1024 + 13}\r\nNATS/1.0\r\n\r\n`,
  ];
  for (const text of cases) {
    const before = fixture.bus.counts("evil").refusedBy.oversized ?? 0;
    const raw = await fixture.raw("evil");
    raw.send(text);
    await raw.untilClosed();
    assert.match(raw.received, /-ERR 'Maximum (Control Line Exceeded|Payload Violation)'\r\n$/);
    assert.equal(fixture.bus.counts("evil").refusedBy.oversized, before + 1, text.slice(0, 60));
  }
  const long = await fixture.raw("evil", false);
  long.send(`CONNECT {"lang":"${"a".repeat(5000)}"}\r\n`);
  await long.untilClosed();
  // The largest that is allowed passes.
  const evil = await fixture.client("evil");
  const headers = eventHeaders("largest", "suricata.dns");
  const ack = await jetstream(evil).publish("ev.evil.suricata.dns", new Uint8Array(1024 * 1024), { headers });
  assert.equal(ack.stream, "EV_evil");
});

test("nothing but a CONNECT comes first", async () => {
  for (const first of ["PING\r\n", "PUB ev.evil.suricata.dns 0\r\n\r\n", "SUB > 1\r\n"]) {
    const before = fixture.bus.counts("evil").refusedBy.handshake ?? 0;
    const raw = await fixture.raw("evil", false);
    raw.send(first);
    await raw.untilClosed();
    assert.match(raw.received, /-ERR 'Authorization Violation'\r\n$/);
    assert.equal(fixture.bus.counts("evil").refusedBy.handshake, before + 1);
  }
  const raw = await fixture.raw("evil", false);
  raw.send("CONNECT no JSON\r\n");
  await raw.untilClosed();
});
