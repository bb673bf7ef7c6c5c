/** Suricata's agent and a rule manager's sets, on real parts: checked, applied, refused, and there again after a start. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { chmod, mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { after, before, test } from "node:test";
import { EVE_TYPES } from "@bulkhead/instrument-suricata";
import {
  type ConfigAnswer,
  ResourceAnswer,
  RulesetApplyReply,
  RulesetCheckReply,
  type RulesetRequest,
} from "@bulkhead/schema";
import { eventually } from "@bulkhead/testkit";
import type { AgentProcess } from "../sdk/agent-process.ts";
import { openTestBus, type TestBus, type TestInstrument } from "../sdk/test-bus.ts";
import { openSuricataPlace, type SuricataPlace } from "./suricata-place.ts";

const stack = new AsyncDisposableStack();
let bus: TestBus;
let place: SuricataPlace;
let ids: TestInstrument;
let agent: AgentProcess;
let deliveries = 0;

before(async () => {
  place = stack.use(await openSuricataPlace());
  bus = stack.use(await openTestBus());
  ids = await bus.admit(
    { instrument: "ids", emits: EVE_TYPES.map((type) => `suricata.${type}`) },
    place.busSocket,
  );
  await chmod(place.busSocket, 0o666);
  await place.connectTap();
  agent = place.start("ids");
  await eventually("hello", () => ids.greetings.count > 0);
});
after(() => stack.disposeAsync());

function rule(sid: number, path: string): string {
  return `alert http any any -> any any (msg:"test ${path}"; http.uri; content:"${path}"; sid:${sid}; rev:1;)\n`;
}

async function configure(
  version: string,
  settings: Readonly<Record<string, unknown>> = {},
): Promise<ConfigAnswer> {
  await place.deliver(`f-${version}`, { "local.rules": rule(1, "/local") });
  const config = { homeNet: ["10.77.0.0/24"], ruleFiles: ["local.rules"], ...settings };
  const files = { version: `f-${version}`, names: ["local.rules"] };
  return ids.configure({ version, config, retentionMs: null, files });
}

/** As the platform places a resource and tells of it. */
async function deliver(text: string): Promise<RulesetRequest> {
  const sha256 = createHash("sha256").update(text).digest("hex");
  const version = `${(deliveries += 1)}-${sha256.slice(0, 12)}`;
  const path = `rules/ruleset.suricata/all/${version}`;
  const file = join(place.root, "resources", path);
  await mkdir(dirname(file), { recursive: true });
  await writeFile(file, text);
  const notice = {
    from: "rules",
    type: "ruleset.suricata",
    name: "all",
    version,
    sha256,
    sizeBytes: Buffer.byteLength(text),
    mediaType: "text/plain",
    path,
    deliveredAt: new Date().toISOString(),
  };
  const reply = await bus.platform.request("cmd.ids.resource", JSON.stringify(notice), { timeout: 10_000 });
  assert.deepEqual(ResourceAnswer.parse(reply.json()), { outcome: "taken" });
  return { name: "all", version, sha256 };
}

async function ask(verb: "check" | "apply", request: RulesetRequest, from = "rules"): Promise<unknown> {
  const reply = await bus.platform.request(`msg.ids.${from}.ruleset.${verb}`, JSON.stringify(request), {
    timeout: 120_000,
  });
  return reply.headers?.get("Bulkhead-Refused") ? { refused: reply.string() } : reply.json();
}

const check = async (request: RulesetRequest) => RulesetCheckReply.parse(await ask("check", request));
const apply = async (request: RulesetRequest) => RulesetApplyReply.parse(await ask("apply", request));

/** Sids that alert when these paths are asked for, the last of them for certain. */
async function alerts(...paths: readonly string[]): Promise<readonly number[]> {
  const since = (await bus.streams.streams.info("EV_ids")).state.last_seq + 1;
  for (const path of [...paths, "/local"]) await place.traffic("http", path, "1");
  return eventually(
    "the operator's own rule fires",
    async () => {
      const { state } = await bus.streams.streams.info("EV_ids");
      const sids: number[] = [];
      for (let seq = since; seq <= state.last_seq; seq += 1) {
        const message = await bus.streams.streams.getMessage("EV_ids", { seq });
        const record = JSON.parse(Buffer.from(message?.data ?? "{}").toString("utf8")) as {
          readonly alert?: { readonly signature_id: number };
        };
        if (record.alert !== undefined) sids.push(record.alert.signature_id);
      }
      return sids.includes(1) ? [...new Set(sids)].toSorted((a, b) => a - b) : null;
    },
    60_000,
  );
}

test("a set that passes is applied beside the operator's rules, without a restart", async () => {
  assert.equal((await configure("v1")).outcome, "applied");
  await eventually("ready", () => ids.health.at(-1)?.state === "ready");
  const pids = await place.suricataPids();
  const set = await deliver(rule(100, "/first") + rule(101, "/second"));
  assert.deepEqual(await check(set), { ok: true, rules: 2, findings: [] });
  assert.deepEqual(await alerts("/first"), [1], "a check changes nothing");
  assert.deepEqual(await apply(set), { outcome: "applied", rules: 2, findings: [] });
  assert.deepEqual(await alerts("/first", "/second"), [1, 100, 101]);
  assert.deepEqual(await place.suricataPids(), pids);
  assert.deepEqual(
    await apply(set),
    { outcome: "applied", rules: 2, findings: [] },
    "it is in force already",
  );
});

test("a broken set is refused by its own line, and what is in force goes on", async () => {
  const set = await deliver(
    `${rule(100, "/first")}# remark\nalert http any any -> any any (msg:"x"; nonsense; sid:3;)\n`,
  );
  const findings = [{ line: 3, message: "unknown rule keyword 'nonsense'." }];
  assert.deepEqual(await check(set), { ok: false, rules: 2, findings });
  assert.deepEqual(await apply(set), { outcome: "refused", rules: 2, findings });
  assert.deepEqual(await alerts("/first", "/second"), [1, 100, 101]);
});

test("one that was never delivered, or is another's, is no set", async () => {
  const set = await deliver(rule(100, "/first"));
  assert.match(JSON.stringify(await ask("apply", set, "evil")), /evil delivered no set all/);
  const other = { ...set, sha256: "0".repeat(64) };
  assert.match(JSON.stringify(await ask("check", other)), /delivered no set/);
});

test("thresholds of a set count with its rules", async () => {
  const text = `${rule(100, "/first")}${rule(102, "/third")}#threshold.config suppress gen_id 1, sig_id 102\n`;
  assert.deepEqual(await apply(await deliver(text)), { outcome: "applied", rules: 2, findings: [] });
  assert.deepEqual(await alerts("/first", "/second", "/third"), [1, 100]);
});

test("a start anew comes up with the set, and settings may do without it", async () => {
  assert.equal(await agent.kill("SIGTERM"), 0);
  const { count } = ids.greetings;
  agent = place.start("ids");
  await eventually("hello", () => ids.greetings.count > count);
  assert.deepEqual(await configure("v2"), { outcome: "applied", version: "v2" });
  assert.deepEqual(await alerts("/first", "/third"), [1, 100]);
  assert.deepEqual(await configure("v3", { managedRules: false }), { outcome: "applied", version: "v3" });
  assert.deepEqual(await alerts("/first"), [1]);
  const set = await deliver(rule(100, "/first"));
  assert.equal((await apply(set)).outcome, "refused");
  assert.equal((await check(set)).ok, false);
});
