/**
 * Rule manager and Suricata in their containers: a set that passes detects, a broken one is refused by file and
 * line with the old still firing, what an operator takes back is gone, and all of it survives their ends.
 */
import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { eventually } from "@bulkhead/testkit";
import * as z from "zod";
import { uiPath } from "../../packages/cli/src/commands/query.ts";
import { makeSensorStand, type SensorStand } from "./sensor-stand.ts";
import { ENGINE_LINE, idsLine } from "./stand-site.ts";

const RULES_FILE = "managed.rules";
const GRANTS = `grants:
  resources: [ { from: rules, type: ruleset.suricata, to: ids } ]
  messages:
    - { from: rules, verb: ruleset.check, to: ids }
    - { from: rules, verb: ruleset.apply, to: ids }
fleet: { ui: { rules: { roles: [operator] } } }
`;
const Rollout = z.looseObject({ id: z.int(), state: z.string(), reason: z.string(), who: z.string() });
const History = z.looseObject({ rollouts: z.array(Rollout) });
const Findings = z.looseObject({
  findings: z.array(z.looseObject({ place: z.unknown(), message: z.string() })),
});
const Alert = z.looseObject({ alert: z.looseObject({ signature_id: z.int() }) });

const stack = new AsyncDisposableStack();
let stand: SensorStand;

before(async () => {
  stand = stack.use(await makeSensorStand("soak-rules"));
});
after(() => stack.disposeAsync());

/** Alerts on each mark, beside the operator's own rule. */
function markRule(sid: number, keyword = ""): string {
  return `alert udp any any -> any 9999 (msg:"managed ${sid}"; content:"bulkhead-mark"; ${keyword}sid:${sid}; rev:1;)\n`;
}

async function applyRules(text: string): Promise<void> {
  await writeFile(join(stand.directory, RULES_FILE), text);
  const rules = `  rules: { package: rule-manager, storage: { rules: 64MiB }, config: { localRules: [./${RULES_FILE}], maxShrink: 0.6 } }`;
  await stand.apply(stand.siteText(`${ENGINE_LINE}\n${idsLine()}\n${rules}`, GRANTS));
}

/** The newest rollout, once it is another one than `after` and is over. */
async function rollout(after = 0): Promise<z.infer<typeof Rollout>> {
  return eventually("a rollout that is over", async () => {
    const { rollouts } = await stand.api
      .get(uiPath("rules", "v1/history"), History)
      .catch(() => ({ rollouts: [] }));
    const [newest] = rollouts;
    const isOver = newest?.state === "applied" || newest?.state === "refused";
    return isOver && newest.id > after ? newest : null;
  });
}

/** Sids that alert on one mark, once the operator's own did. */
async function fired(): Promise<readonly number[]> {
  const mark = await stand.alertFlows();
  await sleep(1_000); // alerts of one packet are written in one go, and may come in two batches
  const events = await stand.events("suricata.alert", "ids");
  const own = events.filter(({ data }) => z.looseObject({ src_port: z.int() }).parse(data).src_port === mark);
  return own.map(({ data }) => Alert.parse(data).alert.signature_id).toSorted((a, b) => a - b);
}

let last = 0;

test("a set of the rule manager detects beside the operator's rules", async () => {
  await applyRules(markRule(7_000_001));
  await stand.settled();
  const { id, state } = await rollout();
  assert.equal(state, "applied");
  last = id;
  assert.deepEqual(await fired(), [7_000_001, 9_000_001]);
});

test("a broken set is refused by file and line, and the old one fires", async () => {
  await applyRules(`# a remark\n${markRule(7_000_001)}${markRule(7_000_002, "nonsense; ")}`);
  const { id, state, reason } = await rollout(last);
  assert.deepEqual([state, reason], ["refused", "ids: found faults"]);
  last = id;
  const { findings } = await stand.api.get(uiPath("rules", "v1/findings"), Findings);
  assert.deepEqual(findings[0]?.place, { source: "local", file: RULES_FILE, line: 3 });
  assert.match(findings[0]?.message ?? "", /^ids: unknown rule keyword/);
  assert.deepEqual(await fired(), [7_000_001, 9_000_001]);
});

test("a good one after it detects more, and is there after both began anew", async () => {
  await applyRules(markRule(7_000_001) + markRule(7_000_003));
  const { id, state } = await rollout(last);
  assert.equal(state, "applied");
  last = id;
  assert.deepEqual(await fired(), [7_000_001, 7_000_003, 9_000_001]);
  await stand.order("restart", "ids");
  await stand.order("restart", "rules");
  await stand.settled();
  assert.deepEqual(await fired(), [7_000_001, 7_000_003, 9_000_001]);
  assert.equal((await rollout()).id, last, "nothing was applied again");
});

test("an operator takes it back", async () => {
  await stand.api.post(uiPath("rules", "v1/rollback"), z.looseObject({ rollout: z.int() }));
  const { state, who } = await rollout(last);
  assert.equal(state, "applied");
  assert.notEqual(who, "rule-manager");
  assert.deepEqual(await fired(), [7_000_001, 9_000_001]);
});
