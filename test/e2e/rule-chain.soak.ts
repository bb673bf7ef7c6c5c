/**
 * A rule change from its publisher to a running IDS without a network: a host publishes, the downloader fetches, the rule
 * manager decides, Suricata checks and loads. And whatever the host publishes that is not good: the old rules fire on.
 */
import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import {
  demoFeed,
  eventually,
  FEED_ADDRESS,
  FEED_CLIENT_ADDRESS,
  FEED_HOST,
  type FeedFiles,
  makeDemoFeed,
  makeMinisignKey,
  openFeedFiles,
  publishFile,
  removeDemoFeed,
  startDemoHosts,
} from "@bulkhead/testkit";
import * as z from "zod";
import { uiPath } from "../../packages/cli/src/commands/query.ts";
import { makeSensorStand, type SensorStand } from "./sensor-stand.ts";
import { ENGINE_LINE, idsLine, SPAN_KEY } from "./stand-site.ts";

const FILE = "demo.rules";
const OWN = 9_000_001;
const BASE = [7_000_001, 7_000_002, 7_000_003, 7_000_004, 7_000_005];
const Source = z.looseObject({
  lastTryAt: z.string().nullable(),
  state: z.string(),
  isDelivered: z.boolean(),
  problem: z.looseObject({ kind: z.string(), reason: z.string() }).nullable(),
});
const Rules = z.looseObject({
  sources: z.array(z.looseObject({ name: z.string() })),
  current: z.looseObject({ id: z.int(), state: z.string() }).nullable(),
});
const History = z.looseObject({
  rollouts: z.array(z.looseObject({ id: z.int(), state: z.string(), reason: z.string() })),
});
const Alert = z.looseObject({ src_port: z.int(), alert: z.looseObject({ signature_id: z.int() }) });

const stack = new AsyncDisposableStack();
let stand: SensorStand;
let feed: FeedFiles;

before(async () => {
  stand = stack.use(await makeSensorStand("e2e-chain"));
  const { slug } = stand.layout;
  stack.defer(() => removeDemoFeed(slug));
  await makeDemoFeed(slug);
  feed = await openFeedFiles(join(stand.directory, "feed"));
  stack.use(await startDemoHosts({ slug, roles: [], feed }));
  await publishFile(feed, FILE, rules(BASE));
  await stand.apply(site());
  await stand.settled();
});
after(() => stack.disposeAsync());

function site(): string {
  const source = {
    name: "demo",
    url: `https://${FEED_HOST}/${FILE}`,
    as: { type: "ruleset.feed", name: "demo" },
    every: "1h",
    jitter: "1s",
    verify: { minisign: feed.signingKey.publicKey },
    ca: feed.certificate.cert,
  };
  return `apiVersion: bulkhead/v1
sensor: e2e-chain
interfaces:
  ${SPAN_KEY}: { kind: span, device: ${stand.device} }
  feeds:
    kind: egress
    device: ${demoFeed(stand.layout.slug).device}
    address: { addresses: [${FEED_CLIENT_ADDRESS}/24] }
    dns: [${FEED_ADDRESS}]
    private: [${FEED_ADDRESS}/32]
    allow: ["${FEED_HOST}:443"]
instruments:
${ENGINE_LINE}
${idsLine()}
  fetch:
    package: downloader
    storage: { store: 64MiB }
    egress: { through: feeds, hosts: ["${FEED_HOST}:443"] }
    config: ${JSON.stringify({ sources: [source] })}
  rules: { package: rule-manager, storage: { rules: 64MiB } }
grants:
  resources:
    - { from: fetch, type: ruleset.feed, to: rules }
    - { from: rules, type: ruleset.suricata, to: ids }
  messages:
    - { from: rules, verb: ruleset.check, to: ids }
    - { from: rules, verb: ruleset.apply, to: ids }
fleet: { ui: { fetch: { roles: [operator] }, rules: { roles: [operator] } } }
`;
}

/** Each alerts on a mark. */
function rules(sids: readonly number[], more = ""): Buffer {
  const lines = sids.map(
    (sid) =>
      `alert udp any any -> any 9999 (msg:"fed ${sid}"; content:"bulkhead-mark"; sid:${sid}; rev:1;)\n`,
  );
  return Buffer.from(`${lines.join("")}${more}`);
}

/** Sids that alert on one mark, once the operator's own did. */
async function fired(): Promise<readonly number[]> {
  const mark = await stand.alertFlows();
  await sleep(1_000); // alerts of one packet are written in one go, and may come in two batches
  const events = await stand.events("suricata.alert", "ids");
  const own = events.map(({ data }) => Alert.parse(data)).filter(({ src_port }) => src_port === mark);
  return own.map(({ alert }) => alert.signature_id).toSorted((a, b) => a - b);
}

/** Has the source fetched at once; returns what it came to. */
async function fetched(): Promise<z.infer<typeof Source>> {
  const path = uiPath("fetch", "v1/sources/demo");
  const { lastTryAt: before } = await stand.api.get(path, Source);
  await stand.api.post(`${path}/fetch`, z.unknown());
  return eventually("it was fetched", async () => {
    const now = await stand.api.get(path, Source);
    const isOver = now.lastTryAt !== before && now.state === "idle";
    return isOver && (now.problem !== null || now.isDelivered) && now;
  });
}

async function newest(): Promise<{ id: number; state: string; reason: string } | undefined> {
  return (await stand.api.get(uiPath("rules", "v1/history"), History)).rollouts[0];
}

async function rolloutAfter(id: number): Promise<{ id: number; state: string; reason: string }> {
  return eventually("a rollout that is over", async () => {
    const found = await newest();
    return found !== undefined && found.id > id && /^(applied|refused)$/.test(found.state) && found;
  });
}

test("what is published detects", async () => {
  const { state } = await rolloutAfter(0);
  assert.equal(state, "applied");
  assert.deepEqual(await fired(), [...BASE, OWN]);
});

test("a good update detects what was not detected before", async () => {
  const last = (await newest())?.id ?? 0;
  await publishFile(feed, FILE, rules([...BASE, 7_000_006]));
  assert.equal((await fetched()).problem, null);
  assert.equal((await rolloutAfter(last)).state, "applied");
  assert.deepEqual(await fired(), [...BASE, 7_000_006, OWN]);
});

test("what is not the publisher's, or not whole, does not leave the downloader", async (t) => {
  const good = rules([...BASE, 7_000_007]);
  const last = await newest();
  await t.test("signed by somebody else", async () => {
    await publishFile(feed, FILE, good, makeMinisignKey());
    assert.equal((await fetched()).problem?.reason, "signature");
  });
  await t.test("cut short under the signature of the whole", async () => {
    await publishFile(feed, FILE, good);
    await writeFile(join(feed.directory, FILE), good.subarray(0, good.length - 40));
    assert.equal((await fetched()).problem?.reason, "signature");
  });
  await t.test("empty, and signed", async () => {
    await publishFile(feed, FILE, Buffer.alloc(0));
    assert.equal((await fetched()).problem?.reason, "empty");
  });
  assert.deepEqual(await newest(), last, "the rule manager heard of none of it");
  assert.deepEqual(await fired(), [...BASE, 7_000_006, OWN]);
});

test("what is signed and no good set is not taken", async (t) => {
  const good = [...BASE, 7_000_006];
  await t.test("cut short in a rule, before it was signed", async () => {
    const last = await newest();
    const text = rules(good);
    await publishFile(feed, FILE, text.subarray(0, text.length - 40));
    assert.equal((await fetched()).problem, null);
    await sleep(3_000); // nothing is to come of it
    assert.deepEqual(await newest(), last);
  });
  await t.test("most of it gone", async () => {
    const { current } = await stand.api.get(uiPath("rules", "v1/status"), Rules);
    await publishFile(feed, FILE, rules(good.slice(0, 2)));
    assert.equal((await fetched()).problem, null);
    await sleep(3_000);
    assert.deepEqual((await stand.api.get(uiPath("rules", "v1/status"), Rules)).current, current);
  });
  await t.test("a rule that the IDS itself does not take", async () => {
    const { id = 0 } = (await newest()) ?? {};
    await publishFile(
      feed,
      FILE,
      rules(good, `alert udp any any -> any 9999 (msg:"x"; nonsense; sid:7000009; rev:1;)\n`),
    );
    assert.equal((await fetched()).problem, null);
    assert.deepEqual((await rolloutAfter(id)).state, "refused");
  });
  assert.deepEqual(await fired(), [...good, OWN]);
});

test("and the next good one is taken", async () => {
  const { id = 0 } = (await newest()) ?? {};
  await publishFile(feed, FILE, rules([...BASE, 7_000_006, 7_000_008]));
  assert.equal((await fetched()).problem, null);
  assert.equal((await rolloutAfter(id)).state, "applied");
  assert.deepEqual(await fired(), [...BASE, 7_000_006, 7_000_008, OWN]);
});
