import assert from "node:assert/strict";
import { Readable } from "node:stream";
import { test } from "node:test";
import * as z from "zod";
import { SdkError } from "./error.ts";
import type { InstrumentContext, InstrumentDefinition } from "./instrument.ts";
import { startForTest } from "./testing.ts";

const Config = z.strictObject({ limit: z.int().min(1).default(3) });
const Hash = z.strictObject({ hash: z.string() });
const Count = z.strictObject({ rules: z.int() });

/** A definition whose start is all that the test is about. */
function started(start: (context: InstrumentContext) => void): InstrumentDefinition<z.infer<typeof Config>> {
  return {
    config: Config,
    start(context) {
      start(context);
      return {};
    },
  };
}

test("a first configuration that is refused fails the test, with the faults", async () => {
  const definition = started(() => undefined);
  await assert.rejects(startForTest(definition, { config: { limit: 0 } }), {
    name: "AssertionError",
    message: /limit: /,
  });
});

test("what start throws comes out, and nothing is left running", async () => {
  const definition = started(() => {
    throw new TypeError("no rules");
  });
  await assert.rejects(startForTest(definition), { name: "TypeError", message: "no rules" });
});

test("messages are checked on their way in and out, and a handler's failure is told", async () => {
  await using ids = await startForTest(
    started((context) => {
      const handle = ({ hash }: z.infer<typeof Hash>): { readonly rules: number } => {
        if (hash === "bad") throw new RangeError("no such set");
        return { rules: hash === "half" ? 0.5 : 7 };
      };
      context.accept({ verb: "ruleset.check", request: Hash, reply: Count, handle });
    }),
  );
  const outcomes = [
    await ids.send("ruleset.check", { hash: "good" }, "rules"),
    await ids.send("ruleset.check", { hash: 1 }, "rules"),
    await ids.send("ruleset.check", { hash: "bad" }, "rules"),
    await ids.send("ruleset.check", { hash: "half" }, "rules"),
    await ids.send("ruleset.apply", {}, "rules"),
  ];
  assert.deepEqual(outcomes[0], { outcome: "answered", reply: { rules: 7 } });
  assert.deepEqual(
    outcomes.slice(1).map((answer) => (answer.outcome === "refused" ? answer.refusal : "answered")),
    ["invalid", "failed", "failed", "no-handler"],
  );
  assert.equal(ids.logs.filter(({ level }) => level === "warn").length, 2);
});

test("a message goes to the one who plays the others, and its reply is checked", async () => {
  let context: InstrumentContext | undefined;
  const definition = started((given) => (context = given));
  const answer = ({ verb }: { readonly verb: string }): unknown => {
    if (verb === "busy") throw new SdkError("sdk-message-busy", "later");
    return verb === "odd" ? { rules: "many" } : { rules: 7 };
  };
  await using rules = await startForTest(definition, { answer });
  const send = (verb: string) => context?.send({ to: "ids", verb, data: { hash: "a" }, reply: Count });
  assert.deepEqual(await send("check"), { rules: 7 });
  await assert.rejects(async () => send("odd"), { code: "sdk-message-answer-invalid" });
  await assert.rejects(async () => send("busy"), { code: "sdk-message-busy" });
  assert.equal(rules.sent.length, 3);
  assert.deepEqual(rules.sent[0], { to: "ids", verb: "check", data: { hash: "a" } });
  await using alone = await startForTest(definition);
  await assert.rejects(async () => send("check"), { code: "sdk-message-not-granted" });
  assert.deepEqual(alone.sent, []);
});

test("events are checked, an id is handled once, and a batch that failed may come again", async () => {
  const seen: number[] = [];
  let broken = false;
  await using pdns = await startForTest(
    started((context) =>
      context.consume({
        type: "suricata.dns",
        schema: z.object({ n: z.number() }),
        handle: async (events) => {
          if (broken) throw new RangeError("full");
          seen.push(...events.map(({ data }) => data.n));
        },
      }),
    ),
  );
  const batch = [{ data: { n: 1 }, id: "a" }, { data: { n: "x" } }, { data: { n: 2 } }];
  const first = await pdns.deliverEvents("suricata.dns", "ids", batch);
  assert.deepEqual([first.outcome, first.handled, first.quarantined.length], ["acknowledged", 2, 1]);
  const again = await pdns.deliverEvents("suricata.dns", "ids", [{ data: { n: 1 }, id: "a" }]);
  assert.deepEqual([again.outcome, again.handled], ["acknowledged", 0]);
  broken = true;
  const failed = await pdns.deliverEvents("suricata.dns", "ids", [{ data: { n: 3 }, id: "b" }]);
  assert.equal(failed.outcome, "again");
  broken = false;
  await pdns.deliverEvents("suricata.dns", "ids", [{ data: { n: 3 }, id: "b" }]);
  assert.deepEqual(seen, [1, 2, 3]);
  assert.equal((await pdns.deliverEvents("other.type", "ids", [])).outcome, "no-consumer");
});

test("resources come with their path and go out as they were announced", async () => {
  const paths: string[] = [];
  let context: InstrumentContext | undefined;
  await using rules = await startForTest(
    started((given) => {
      context = given;
      given.receive({ type: "ruleset.feed", handle: ({ path }) => void paths.push(path) });
    }),
    { resourcesDir: "/somewhere" },
  );
  const sha256 = "a".repeat(64);
  const version = "1-aaaaaaaaaaaa";
  const notice = { from: "feeds", type: "ruleset.feed", name: "et-open", version, sha256, sizeBytes: 5 };
  const rest = {
    mediaType: "text/plain",
    path: `feeds/ruleset.feed/et-open/${version}`,
    deliveredAt: "2026-01-01T00:00:00.000Z",
  };
  assert.deepEqual(await rules.receive({ ...notice, ...rest }), { outcome: "taken" });
  assert.deepEqual(paths, [`/somewhere/${rest.path}`]);

  const set = { type: "ruleset.set", name: "all", body: Readable.from([Buffer.from("alert")]) };
  const receipt = await context?.deliver({ ...set, sizeBytes: 5 });
  assert.match(receipt?.version ?? "", /^1-[0-9a-f]{12}$/);
  assert.deepEqual(
    rules.delivered.map(({ name, bytes }) => [name, bytes.toString()]),
    [["all", "alert"]],
  );
  const short = { ...set, body: Readable.from([Buffer.from("al")]), sizeBytes: 5 };
  await assert.rejects(async () => context?.deliver(short), { code: "sdk-delivery-incomplete" });
});

test("stores forget when told to, and say what is left", async () => {
  const oldest = new Date("2026-02-01T00:00:00Z");
  const asked: Date[] = [];
  await using store = await startForTest(
    started((context) => {
      const purge = (before: Date): number => asked.push(before);
      context.retain({ purge, oldest: () => oldest });
    }),
  );
  const before = new Date("2026-01-15T00:00:00Z");
  assert.deepEqual(await store.purge(before), { removed: 1, oldest: oldest.toISOString() });
  assert.deepEqual(asked, [before]);
  assert.equal(store.health.oldestRecord, oldest.toISOString());
});

test("a type that it may not emit is refused and counted, as on the bus", async () => {
  await using one = await startForTest(
    started((context) => {
      void context.emit("a.allowed", { n: 1 }, new Date("2026-01-01T00:00:00Z"));
      void context.emit("a.other", { n: 2 });
    }),
    { emits: ["a.allowed"] },
  );
  await one.flush();
  assert.deepEqual(
    one.emitted.map(({ type, time, data }) => ({ type, time, data })),
    [{ type: "a.allowed", time: "2026-01-01T00:00:00.000Z", data: { n: 1 } }],
  );
  assert.deepEqual(one.health.events, { acknowledged: 1, refused: 1, waiting: 0 });
});
