import assert from "node:assert/strict";
import { test } from "node:test";
import { planBus } from "@bulkhead/core";
import fc from "fast-check";
import { GateCounts } from "./gate-counts.ts";
import { GateRules } from "./gate-rules.ts";

const PLAN = planBus(
  [
    {
      name: "ids",
      needs: [
        {
          id: "e",
          kind: "event.emit",
          type: "suricata.dns",
          audience: ["instruments"],
          class: "technical",
        },
      ],
    },
    { name: "pdns", needs: [{ id: "c", kind: "event.consume", type: "suricata.dns" }] },
  ],
  { events: [{ from: "ids", type: "suricata.dns", to: "pdns" }], messages: [], resources: [] },
);

function rulesOf(name: "ids" | "pdns"): GateRules {
  const user = PLAN.users.find((u) => u.name === name);
  assert.ok(user);
  return new GateRules(name, user, new GateCounts());
}

function ask(what: "publish" | "allowsReply", rules: GateRules, subject: string): boolean {
  const data = Buffer.from(`xx${subject}yy`);
  const answer = rules[what](data, 2, 2 + Buffer.byteLength(subject));
  return answer !== null && answer !== false;
}

test("what is granted may be published, and what is near it may not", () => {
  const ids = rulesOf("ids");
  const pdns = rulesOf("pdns");
  for (const subject of ["ev.ids.suricata.dns", "svc.ids.hello", "_INBOX.platform.a.b"]) {
    assert.ok(ask("publish", ids, subject), subject);
  }
  for (const subject of [
    "ev.ids.suricata.dn",
    "ev.ids.suricata.dnss",
    "ev.ids.suricata",
    "ev.ids.>",
    "ev.ids.*.dns",
    "ev.pdns.suricata.dns",
    "svc.ids.other",
    "_INBOX.",
    "_INBOX.>",
    "_INBOX.platform.*",
    "_INBOX..a",
    "_INBOX.a.",
    "$JS.API.CONSUMER.MSG.NEXT.EV_ids.pdns_suricata=dns",
    "",
  ]) {
    assert.ok(!ask("publish", ids, subject), subject);
  }
  assert.ok(ask("publish", pdns, "$JS.API.CONSUMER.MSG.NEXT.EV_ids.pdns_suricata=dns"));
  assert.ok(ask("publish", pdns, "$JS.ACK.EV_ids.pdns_suricata=dns.1.2.3.4.5"));
  assert.ok(!ask("publish", pdns, "$JS.ACK.EV_ids.pdns_suricata=dns"));
  assert.ok(!ask("publish", pdns, "$JS.ACK.EV_ids.pdns_suricata=dns.>"));
  assert.ok(!ask("publish", pdns, "$JS.ACK.EV_ids.pdns_suricata=dnsx.1"));
});

test("a reply subject is one below the instrument's own inbox", () => {
  const ids = rulesOf("ids");
  assert.ok(ask("allowsReply", ids, "_INBOX.ids.x.1"));
  for (const subject of [
    "_INBOX.ids",
    "_INBOX.ids.",
    "_INBOX.ids.>",
    "_INBOX.ids.*",
    "_INBOX.idsx.1",
    "_INBOX.pdns.1",
    "cmd.pdns.stop",
    "ev.ids.suricata.dns",
  ]) {
    assert.ok(!ask("allowsReply", ids, subject), subject);
  }
});

test("a subscription may be a pattern within what is allowed", () => {
  const ids = rulesOf("ids");
  for (const subject of ["cmd.ids.>", "cmd.ids.*", "_INBOX.ids.x.*", "msg.ids.rules.apply"]) {
    assert.ok(ids.allowsSubscription(subject), subject);
  }
  for (const subject of [
    ">",
    "cmd.>",
    "cmd.*.stop",
    "cmd.ids",
    "cmd.ids.",
    "_INBOX.>",
    "ev.ids.>",
    "cmd.pdns.>",
  ]) {
    assert.ok(!ids.allowsSubscription(subject), subject);
  }
});

test("messages are counted by subject, and counts stay when permissions change", () => {
  const counts = new GateCounts();
  const user = PLAN.users.find((u) => u.name === "ids");
  assert.ok(user);
  for (const rules of [new GateRules("ids", user, counts), new GateRules("ids", user, counts)]) {
    const subject = Buffer.from("ev.ids.suricata.dns");
    const rule = rules.publish(subject, 0, subject.length);
    assert.ok(rule);
    rule.counter.count += 1;
  }
  assert.deepEqual(counts.snapshot().published, { "ev.ids.suricata.dns": 2 });
});

test("property: the gate lets no subject through that the permissions do not list", () => {
  const token = fc.constantFrom(
    "ev",
    "svc",
    "ids",
    "pdns",
    "suricata",
    "dns",
    "hello",
    "*",
    ">",
    "",
    "cmd",
    "$JS",
    "ACK",
  );
  const listed = PLAN.users.find((u) => u.name === "ids")?.publish ?? [];
  const rules = rulesOf("ids");
  fc.assert(
    fc.property(fc.array(token, { minLength: 1, maxLength: 5 }), (tokens) => {
      const subject = tokens.join(".");
      assert.equal(ask("publish", rules, subject), listed.includes(subject));
    }),
    { numRuns: 2000 },
  );
});
