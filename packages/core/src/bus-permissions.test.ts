import assert from "node:assert/strict";
import { test } from "node:test";
import type { DottedName, Name, Need, Site } from "@bulkhead/schema";
import fc from "fast-check";
import { type BusInstrument, type BusPlan, planBus } from "./bus-permissions.ts";

const emit = (type: string, audience: ("users" | "instruments")[] = ["instruments"]): Need => ({
  id: "out",
  kind: "event.emit",
  type,
  audience,
  class: "technical",
});
const consume = (type: string): Need => ({ id: "in", kind: "event.consume", type });

const IDS: BusInstrument = {
  name: "ids",
  needs: [
    emit("suricata.dns"),
    emit("suricata.alert", ["users"]),
    { id: "rules", kind: "message.accept", verb: "ruleset.apply" },
  ],
};
const PDNS: BusInstrument = { name: "pdns", needs: [consume("suricata.dns")] };
const RULES: BusInstrument = {
  name: "rules",
  needs: [{ id: "apply", kind: "message.send", verb: "ruleset.apply" }],
};

test("what an emitter, a consumer and a sender may do, to the letter", () => {
  const plan = planBus([IDS, PDNS, RULES], {
    events: [{ from: "ids", type: "suricata.dns", to: "pdns" }],
    messages: [{ from: "rules", verb: "ruleset.apply", to: "ids" }],
    resources: [],
  });
  const services = (name: string) =>
    ["hello", "health", "log", "quarantine"].map((service) => `svc.${name}.${service}`);
  assert.deepEqual(user(plan, "ids"), {
    name: "ids",
    publish: ["ev.ids.suricata.dns", "ev.ids.suricata.alert", ...services("ids")],
    subscribe: ["msg.ids.>", "cmd.ids.>", "_INBOX.ids.>"],
    responses: { max: 1, expires: "120s" },
  });
  assert.deepEqual(user(plan, "pdns").publish, [
    ...services("pdns"),
    "$JS.API.CONSUMER.MSG.NEXT.EV_ids.pdns_suricata=dns",
    "$JS.ACK.EV_ids.pdns_suricata=dns.>",
  ]);
  assert.deepEqual(user(plan, "rules").publish, [...services("rules"), "msg.ids.rules.ruleset.apply"]);
  assert.deepEqual(plan.ignored, []);
  assert.deepEqual(plan.consumers, [
    {
      stream: "EV_ids",
      name: "pdns_suricata=dns",
      from: "ids",
      to: "pdns",
      type: "suricata.dns",
      filterSubject: "ev.ids.suricata.dns",
      replay: "none",
    },
  ]);
});

test("a grant that one side did not declare gives nothing, and is named", () => {
  const plan = planBus([IDS, PDNS, RULES], {
    events: [
      { from: "ids", type: "suricata.alert", to: "pdns" },
      { from: "ids", type: "suricata.dns", to: "rules" },
      { from: "gone", type: "suricata.dns", to: "pdns" },
    ],
    messages: [{ from: "pdns", verb: "ruleset.apply", to: "ids" }],
    resources: [],
  });
  assert.equal(plan.consumers.length, 0);
  assert.equal(plan.ignored.length, 4);
  for (const { publish } of plan.users.filter(({ name }) => name !== "platform")) {
    assert.ok(!publish.some((subject) => subject.startsWith("$JS") || subject.startsWith("msg.")));
  }
});

test("types that differ in punctuation alone have consumers of their own", () => {
  const plan = planBus(
    [
      { name: "ids", needs: [emit("a.b"), emit("a-b")] },
      { name: "pdns", needs: [consume("a.b"), consume("a-b")] },
    ],
    {
      events: [
        { from: "ids", type: "a.b", to: "pdns" },
        { from: "ids", type: "a-b", to: "pdns" },
      ],
      messages: [],
      resources: [],
    },
  );
  assert.deepEqual(
    plan.consumers.map(({ name }) => name),
    ["pdns_a=b", "pdns_a-b"],
  );
  assert.deepEqual(plan.ignored, []);
});

test("an instrument that calls itself the platform gets no user", () => {
  const plan = planBus([{ name: "platform", needs: [emit("x")] }], {
    events: [],
    messages: [],
    resources: [],
  });
  assert.equal(plan.users.length, 1);
  assert.ok(plan.users[0]?.subscribe.includes("svc.>"));
});

// Few names, so that grants meet instruments; hard ones, prefixes of each other, included.
const name = fc.constantFrom<Name>("a", "a-b", "ab", "b", "cmd", "msg", "svc", "ev");
const type = fc.constantFrom<DottedName>("x", "x.y", "x-y", "a", "a.x", "hello", "config");
const need: fc.Arbitrary<Need> = fc.oneof(
  fc
    .tuple(type, fc.subarray<"users" | "instruments">(["users", "instruments"], { minLength: 1 }))
    .map(([t, audience]) => emit(t, audience)),
  type.map(consume),
  type.map((verb): Need => ({ id: "s", kind: "message.send", verb })),
  type.map((verb): Need => ({ id: "r", kind: "message.accept", verb })),
  type.map((t): Need => ({ id: "p", kind: "resource.publish", type: t, size: 1024 })),
  type.map((t): Need => ({ id: "t", kind: "resource.receive", type: t, size: 1024 })),
  name.map((t): Need => ({ id: "f", kind: "find", type: t })),
);
const site = fc.record({
  instruments: fc.uniqueArray(fc.record({ name, needs: fc.array(need, { maxLength: 8 }) }), {
    selector: (instrument) => instrument.name,
    maxLength: 6,
  }),
  grants: fc.record({
    events: fc.array(fc.record({ from: name, type, to: name }), { maxLength: 12 }),
    messages: fc.array(fc.record({ from: name, verb: type, to: name }), { maxLength: 12 }),
    resources: fc.array(fc.record({ from: name, type, to: name }), { maxLength: 12 }),
  }),
});

test("property: no instrument can publish under another's names or use the JetStream API", () => {
  fc.assert(
    fc.property(site, name, type, ({ instruments, grants }, other, t) => {
      const plan = planBus(instruments, grants);
      for (const { name: self, publish } of instrumentUsers(plan)) {
        const can = (subject: string): boolean => publish.some((p) => matches(p, subject));
        if (other !== self) {
          assert.ok(!can(`ev.${other}.${t}`));
          assert.ok(!can(`msg.${self}.${other}.${t}`), "forged sender");
          assert.ok(!can(`svc.${other}.${t}`));
        }
        assert.ok(!can(`ev.platform.${t}`));
        assert.ok(!can(`cmd.${other}.${t}`));
        assert.ok(!can(`_INBOX.${other}.${t}`));
        for (const api of FORBIDDEN_API) assert.ok(!can(api), api);
      }
    }),
  );
});

test("property: every subject that may be published is one of the few known forms", () => {
  fc.assert(
    fc.property(site, ({ instruments, grants }) => {
      const plan = planBus(instruments, grants);
      for (const { name: self, publish } of instrumentUsers(plan)) {
        const needs = instruments.find((i) => i.name === self)?.needs ?? [];
        for (const subject of publish) {
          assert.ok(known(subject, self, needs, grants, plan), `${self} may publish ${subject}`);
        }
      }
    }),
  );
});

test("property: an instrument hears its own names alone", () => {
  fc.assert(
    fc.property(site, name, type, ({ instruments, grants }, other, t) => {
      for (const { name: self, subscribe } of instrumentUsers(planBus(instruments, grants))) {
        const hears = (subject: string): boolean => subscribe.some((p) => matches(p, subject));
        assert.equal(hears(`cmd.${other}.${t}`), other === self);
        assert.equal(hears(`msg.${other}.x.${t}`), other === self);
        assert.equal(hears(`_INBOX.${other}.${t}`), other === self);
        assert.ok(!hears(`ev.${other}.${t}`) && !hears(`svc.${other}.${t}`));
        assert.ok(!hears("_INBOX.platform.x") && !hears("$JS.EVENT.ADVISORY.API"));
      }
    }),
  );
});

test("property: taking a grant away takes permissions away and gives none", () => {
  fc.assert(
    fc.property(site, fc.nat(), ({ instruments, grants }, at) => {
      const { events } = grants;
      const less =
        events.length === 0 ? grants : { ...grants, events: events.toSpliced(at % events.length, 1) };
      const before = planBus(instruments, grants);
      // A freed consumer name may go to the grant that had to wait for it.
      fc.pre(!before.ignored.some((line) => line.includes("its consumer would be")));
      for (const after of planBus(instruments, less).users) {
        const { publish } = user(before, after.name);
        assert.ok(after.publish.every((subject) => publish.includes(subject)));
      }
    }),
  );
});

const FORBIDDEN_API = [
  "$JS.API.INFO",
  "$JS.API.STREAM.CREATE.EV_a",
  "$JS.API.STREAM.DELETE.EV_a",
  "$JS.API.STREAM.PURGE.EV_a",
  "$JS.API.STREAM.MSG.GET.EV_a",
  "$JS.API.DIRECT.GET.EV_a",
  "$JS.API.CONSUMER.CREATE.EV_a",
  "$JS.API.CONSUMER.DURABLE.CREATE.EV_a.x",
  "$JS.API.CONSUMER.DELETE.EV_a.a_x",
  "$SYS.REQ.SERVER.PING",
  "$SYS.REQ.USER.INFO",
];

function instrumentUsers(plan: BusPlan): BusPlan["users"] {
  return plan.users.filter((u) => u.name !== "platform");
}

function user(plan: BusPlan, who: string): BusPlan["users"][number] {
  const found = plan.users.find((u) => u.name === who);
  assert.ok(found, `no user ${who}`);
  return found;
}

function known(
  subject: string,
  self: string,
  needs: readonly Need[],
  grants: Site["grants"],
  plan: BusPlan,
): boolean {
  if (/^svc\.[^.]+\.(hello|health|log|quarantine)$/.test(subject)) {
    return subject.startsWith(`svc.${self}.`);
  }
  if (subject === `svc.${self}.find`) return needs.some((n) => n.kind === "find");
  if (subject === `svc.${self}.deliver` || subject === `svc.${self}.deliver.>`)
    return needs.some((n) => n.kind === "resource.publish");
  const own = plan.consumers.filter((c) => c.to === self);
  if (own.some((c) => subject === `$JS.ACK.${c.stream}.${c.name}.>`)) return true;
  if (own.some((c) => subject === `$JS.API.CONSUMER.MSG.NEXT.${c.stream}.${c.name}`)) return true;
  if (needs.some((n) => n.kind === "event.emit" && subject === `ev.${self}.${n.type}`)) return true;
  return grants.messages.some(
    ({ from, to, verb }) => from === self && subject === `msg.${to}.${self}.${verb}`,
  );
}

/** NATS subject matching: `*` is one token, a trailing `>` one or more. */
function matches(pattern: string, subject: string): boolean {
  const wanted = pattern.split(".");
  const tokens = subject.split(".");
  for (const [index, token] of wanted.entries()) {
    if (token === ">") return tokens.length > index;
    if (tokens[index] === undefined || (token !== "*" && token !== tokens[index])) return false;
  }
  return tokens.length === wanted.length;
}
