/** Messages between instruments: the SDK at both ends, the real gates and broker between them. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import type { BusInstrument } from "@bulkhead/core";
import type { MessageOutcome, MessageRecord, Name, Need } from "@bulkhead/schema";
import { connectBus, type InstrumentContext, startInstrument } from "@bulkhead/sdk";
import { eventually } from "@bulkhead/testkit";
import { headers } from "@nats-io/transport-node";
import * as z from "zod";
import { Messages } from "../../../packages/sdk/src/messages.ts";
import { BusFixture, collect, IDS } from "./bus-fixture.ts";

const CHECK = {
  verb: "ruleset.check",
  request: { type: "object", properties: { hash: { type: "string" } }, required: ["hash"] },
  reply: { type: "object", properties: { rules: { type: "integer" } }, required: ["rules"] },
};
const accept = (verb: string): Need => ({
  id: verb.replace(".", "-"),
  kind: "message.accept",
  verb,
  deadline: 2000,
});
const send = (verb: string): Need => ({ id: verb.replace(".", "-"), kind: "message.send", verb });
const RULES: BusInstrument = {
  name: "rules",
  needs: [
    { id: "check", kind: "message.send", ...CHECK },
    send("slow.work"),
    send("unknown.verb"),
    send("short.reply"),
  ],
};
const TARGET: BusInstrument = {
  name: "ids",
  needs: [
    ...IDS.needs,
    { id: "check", kind: "message.accept", ...CHECK },
    ...["slow.work", "unknown.verb", "short.reply"].map(accept),
  ],
};
const EVIL: BusInstrument = { name: "evil", needs: [...RULES.needs, ...TARGET.needs.slice(2)] };
const VERBS = [CHECK.verb, "slow.work", "unknown.verb", "short.reply"];
const grants = (verbs: readonly string[]) => ({
  events: [],
  messages: verbs.map((verb) => ({ from: "rules", verb, to: "ids" })),
  resources: [],
});
const desiredOf = (verbs: readonly string[]) => ({
  sensor: "lab",
  instruments: [TARGET, RULES, EVIL],
  grants: grants(verbs),
});
const Reply = z.strictObject({ rules: z.int() });

let fixture: BusFixture;
before(async () => {
  fixture = await BusFixture.open({ desired: desiredOf(VERBS) });
});
after(() => fixture[Symbol.asyncDispose]());

/** An agent's two ends; `handlers` are what the recipient takes. */
async function open(name: Name, prepare: (messages: Messages) => void = () => undefined) {
  const bus = await connectBus({ instrument: name, socketPath: fixture.socketPath(name) });
  const messages = new Messages(bus, () => undefined);
  prepare(messages);
  messages.ready();
  bus.open();
  await bus.welcomed();
  return { bus, messages, [Symbol.asyncDispose]: () => bus.close() };
}

async function outcomes(from: Name): Promise<readonly MessageRecord[]> {
  return collect(
    fixture.bus.messages({ instrument: from, limit: 1000, follow: false }, AbortSignal.timeout(5000)),
  );
}

async function lastIs(from: Name, outcome: MessageOutcome): Promise<MessageRecord> {
  await eventually(`${outcome} of ${from}`, async () => (await outcomes(from)).at(-1)?.outcome === outcome);
  const record = (await outcomes(from)).at(-1);
  assert.ok(record);
  return record;
}

const checked = (messages: Messages): void =>
  messages.accept({
    verb: CHECK.verb,
    request: z.strictObject({ hash: z.string() }),
    reply: Reply,
    handle: ({ hash }, { from }) => ({ rules: `${from}/${hash}`.length }),
  });

test("a message is answered by its recipient alone, and its metadata is kept", async () => {
  await using ids = await open("ids", checked);
  await using rules = await open("rules");
  const spy = await fixture.client("evil");
  const heard: string[] = [];
  for (const subject of ["msg.evil.>", "_INBOX.evil.>"]) {
    spy.subscribe(subject, { callback: (_, message) => void heard.push(message.subject) });
  }
  await spy.flush();
  assert.deepEqual(ids.bus.welcome?.accepts.length, VERBS.length);
  const reply = await rules.messages.send({
    to: "ids",
    verb: CHECK.verb,
    data: { hash: "abc" },
    reply: Reply,
  });
  assert.deepEqual(reply, { rules: "rules/abc".length });
  const { time, durationMs, ...record } = await lastIs("rules", "answered");
  assert.deepEqual(record, {
    from: "rules",
    to: "ids",
    verb: CHECK.verb,
    sizeBytes: '{"hash":"abc"}'.length,
    replyBytes: '{"rules":9}'.length,
    outcome: "answered",
  });
  assert.ok(Date.parse(time) > 0 && durationMs >= 0);
  await spy.flush();
  assert.deepEqual(heard, []);
});

test("two whole instruments: one takes, the other sends", async () => {
  const environment = (instrument: Name) => () => ({
    instrument,
    busSocket: fixture.socketPath(instrument),
    uiSocket: "/nowhere",
    dataDir: "/nowhere",
    inboxDir: "/nowhere",
    resourcesDir: "/nowhere",
  });
  const run = (name: Name, begin: (context: InstrumentContext) => void) =>
    startInstrument(
      {
        config: z.strictObject({}),
        start(context) {
          begin(context);
          return {};
        },
      },
      environment(name),
    );
  const ids = await run("ids", (context) =>
    context.accept({
      verb: CHECK.verb,
      request: z.strictObject({ hash: z.string() }),
      reply: Reply,
      handle: ({ hash }) => ({ rules: hash.length }),
    }),
  );
  const answered = Promise.withResolvers<z.infer<typeof Reply>>();
  const rules = await run("rules", (context) => {
    context
      .send({ to: "ids", verb: CHECK.verb, data: { hash: "abcd" }, reply: Reply })
      .then(answered.resolve, answered.reject);
  });
  assert.deepEqual(await answered.promise, { rules: 4 });
  await rules.stop();
  await ids.stop();
});

test("what is not done is an error with a code, and never a silence", async () => {
  await using rules = await open("rules");
  const sent = (verb: string, data: unknown = {}, to = "ids") =>
    rules.messages.send({ to, verb, data, reply: Reply });
  await assert.rejects(sent(CHECK.verb, { hash: "a" }), { code: "sdk-message-not-running" });
  await lastIs("rules", "not-running");
  await using ids = await open("ids", (messages) => {
    checked(messages);
    messages.accept({ verb: "slow.work", handle: () => delay(3000, undefined, { ref: false }) });
    messages.accept({
      verb: "short.reply",
      handle: () => {
        throw new Error("out of cheese");
      },
    });
  });
  await assert.rejects(sent(CHECK.verb, { hash: 5 }), { code: "sdk-message-invalid", message: /hash/ });
  await lastIs("rules", "invalid");
  await assert.rejects(sent("unknown.verb"), { code: "sdk-message-no-handler" });
  await lastIs("rules", "no-handler");
  await assert.rejects(sent("short.reply"), { code: "sdk-message-failed", message: /out of cheese/ });
  await lastIs("rules", "failed");
  await assert.rejects(sent(CHECK.verb, {}, "evil"), { code: "sdk-message-not-granted" });
  await assert.rejects(sent(CHECK.verb, {}, "nobody"), { code: "sdk-message-not-granted" });
  const beganMs = performance.now();
  await assert.rejects(sent("slow.work"), { code: "sdk-message-late" });
  assert.ok(performance.now() - beganMs >= 1990, "it had its deadline");
  await lastIs("rules", "late");
  assert.equal(ids.bus.connected, true);
});

test("a recipient that goes away ends what waits for it", async () => {
  await using rules = await open("rules");
  let taken = false;
  const ids = await open("ids", (messages) => {
    messages.accept({
      verb: "slow.work",
      handle: async () => {
        taken = true;
        await new Promise(() => undefined); // it dies over it
      },
    });
  });
  const waiting = rules.messages.send({ to: "ids", verb: "slow.work" });
  waiting.catch(() => undefined); // looked at below
  await eventually("it is taken", () => taken);
  await ids.bus.connection.close();
  await assert.rejects(waiting, { code: "sdk-message-interrupted" });
});

test("revoking ends what waits at once, and granting opens without a reconnect", async () => {
  await using rules = await open("rules");
  const taken = Promise.withResolvers<void>();
  const go = Promise.withResolvers<void>();
  await using ids = await open("ids", (messages) => {
    checked(messages);
    messages.accept({
      verb: "slow.work",
      handle: async () => {
        taken.resolve();
        await go.promise;
      },
    });
  });
  const waiting = rules.messages.send({ to: "ids", verb: "slow.work" });
  waiting.catch(() => undefined); // looked at below
  await taken.promise;
  const applying = fixture.bus.applyGrants(desiredOf([CHECK.verb]));
  await assert.rejects(waiting, { code: "sdk-message-revoked" });
  await applying;
  go.resolve();
  await eventually("the news", () => rules.bus.welcome?.sends.length === 1);
  await assert.rejects(rules.messages.send({ to: "ids", verb: "slow.work" }), {
    code: "sdk-message-not-granted",
  });
  // One that does not heed its welcome meets the gate.
  await using raw = await rawSender();
  raw.client.send("PUB msg.ids.rules.slow.work _INBOX.rules.x 2\r\n{}\r\n");
  await raw.client.until(/Permissions Violation for Publish to "msg.ids.rules.slow.work"/);
  await lastIs("rules", "not-granted");
  await fixture.bus.applyGrants(desiredOf(VERBS));
  await eventually("the news", () => rules.bus.welcome?.sends.length === VERBS.length);
  await rules.messages.send({ to: "ids", verb: "slow.work" });
  assert.equal(ids.bus.connected && rules.bus.connected, true);
});

async function rawSender() {
  const client = await fixture.raw("rules");
  return { client, [Symbol.asyncDispose]: async () => client[Symbol.dispose]() };
}

test("a change of other rules ends what waits, since the broker forgets who may answer", async () => {
  await using rules = await open("rules");
  const go = Promise.withResolvers<void>();
  await using ids = await open("ids", (messages) =>
    messages.accept({ verb: "slow.work", handle: () => go.promise }),
  );
  const waiting = rules.messages.send({ to: "ids", verb: "slow.work" });
  waiting.catch(() => undefined); // looked at below
  const { answer, heard } = await askDirectly();
  await eventually("it is under way", async () =>
    (await fixture.bus.report()).messages.some((m) => m.pending === 1),
  );
  const more = { ...EVIL, name: "more" };
  await fixture.bus.applyGrants({ ...desiredOf(VERBS), instruments: [TARGET, RULES, EVIL, more] });
  await assert.rejects(waiting, { code: "sdk-message-interrupted" });
  await answer();
  assert.equal(ids.bus.connected, true);
  assert.deepEqual(heard, [], "control: without the gate an answer is no longer let through");
  go.resolve();
  await fixture.bus.applyGrants(desiredOf(VERBS));
});

/** Two connections without gates: a request that waits, and what answers it. */
async function askDirectly() {
  const [recipient, sender] = [await fixture.direct("ids"), await fixture.direct("rules")];
  const heard: string[] = [];
  const asked = Promise.withResolvers<string>();
  recipient.subscribe("msg.ids.rules.short.reply", {
    callback: (_, message) => asked.resolve(message.reply ?? ""),
  });
  sender.subscribe("_INBOX.rules.direct", { callback: (_, message) => void heard.push(message.subject) });
  await recipient.flush();
  await sender.flush();
  sender.publish("msg.ids.rules.short.reply", "{}", { reply: "_INBOX.rules.direct" });
  const reply = await asked.promise;
  const answer = async (): Promise<void> => {
    recipient.publish(reply, "{}");
    await recipient.flush();
    await sender.flush();
    await recipient.close();
    await sender.close();
  };
  return { answer, heard };
}

test("attacks: forged senders, answers that nobody asked for, two answers, none to be told of", async () => {
  await using rules = await open("rules");
  await using evil = await open("evil");
  const ids = await fixture.client("ids");
  const heard: string[] = [];
  ids.subscribe("msg.ids.>", {
    callback: (_, message) => {
      heard.push(message.subject);
      message.respond('{"rules":1}');
      message.respond('{"rules":2}'); // refused: one answer
      ids.publish(message.reply ?? "", '{"rules":3}');
    },
  });
  await ids.flush();
  const raw = await fixture.raw("evil");
  const forged = [
    "msg.ids.rules.ruleset.check",
    "msg.ids.evil.ruleset.check",
    "msg.*.rules.ruleset.check",
    "msg.ids.>",
  ];
  for (const subject of forged) raw.send(`PUB ${subject} _INBOX.evil.a 2\r\n{}\r\n`);
  raw.send("PUB _INBOX.rules.guess.1 2\r\n{}\r\n");
  raw.send("PUB _INBOX.evil.own 2\r\n{}\r\nPING\r\n");
  await raw.until(/PONG\r\n[^]*PONG\r\n/);
  assert.equal(
    raw.received.match(/Permissions Violation for Publish/g)?.length,
    forged.length + 2,
    raw.received,
  );
  assert.deepEqual(heard, []);
  // Between the asking and the answer, nobody but the recipient may answer.
  const thief = await fixture.direct("evil");
  thief.publish("_INBOX.rules.guess.1", "{}");
  const before = fixture.bus.counts("ids").refusedBy["publish-subject"] ?? 0;
  const reply = await rules.messages.send({ to: "ids", verb: CHECK.verb, data: { hash: "x" }, reply: Reply });
  assert.deepEqual(reply, { rules: 1 });
  await eventually(
    "the second and third are refused",
    () => fixture.bus.counts("ids").refusedBy["publish-subject"] === before + 2,
  );
  const plain = await fixture.raw("rules");
  const messages = fixture.bus.counts("rules").refusedBy.message ?? 0;
  plain.send("PUB msg.ids.rules.ruleset.check 2\r\n{}\r\nPING\r\n");
  await plain.until(/no reply subject[^]*PONG/);
  assert.equal(fixture.bus.counts("rules").refusedBy.message, messages + 1);
  assert.equal(evil.bus.connected, true);
  await ids.close();
});

test("a reply that is to hold nothing cannot carry much, and the sender is told", async () => {
  await using rules = await open("rules");
  const ids = await fixture.client("ids");
  ids.subscribe("msg.ids.>", { callback: (_, message) => void message.respond("x".repeat(2000)) });
  await ids.flush();
  await assert.rejects(rules.messages.send({ to: "ids", verb: "short.reply" }), {
    code: "sdk-message-failed",
    message: /too large/,
  });
  await lastIs("rules", "failed");
  await ids.close();
});

test("too many at one time are refused, and a recipient that says nonsense harms nobody", async () => {
  const ids = await fixture.client("ids");
  const replies: string[] = [];
  ids.subscribe("msg.ids.>", { callback: (_, message) => void replies.push(message.reply ?? "") });
  await ids.flush();
  const raw = await fixture.raw("rules");
  for (let at = 0; at < 300; at += 1)
    raw.send(`PUB msg.ids.rules.slow.work _INBOX.rules.n.${at} 2\r\n{}\r\n`);
  raw.send("PUB msg.ids.rules.slow.work _INBOX.rules.n.0 2\r\n{}\r\nPING\r\n");
  await raw.until(/PONG\r\n[^]*PONG\r\n/);
  await eventually("the others arrive", () => replies.length === 256);
  const nonsense = headers();
  nonsense.set("Bulkhead-Refused", "because");
  ids.publish(replies[0] ?? "", "\u001b[2J", { headers: nonsense });
  await eventually("that one ends", async () => (await outcomes("rules")).at(-1)?.outcome === "failed");
  await ids.close();
  await eventually("each ends", async () =>
    fixture.bus.report().then((r) => r.messages.every((m) => m.pending === 0)),
  );
});
