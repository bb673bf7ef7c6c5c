/** The demo's attacks and its benign traffic, seen by a real Suricata with the demo's rules. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import {
  ATTACKS,
  ATTACK_IDS,
  DEMO_RULES_FILE,
  type DemoHosts,
  type EveRecord,
  type NetworkNamespace,
  capture,
  countAlerts,
  makeDemoNetwork,
  makeNamespace,
  removeDemoNetwork,
  runAttacks,
  runCommand,
  runTraffic,
  startDemoHosts,
  suricataRecords,
  suricataRoot,
} from "@bulkhead/testkit";

const slug = `bulkhead-t${randomBytes(3).toString("hex")}`;
const stack = new AsyncDisposableStack();
const stand: { hosts?: DemoHosts; sensor?: NetworkNamespace; directory?: string } = {};

before(async () => {
  await suricataRoot();
  stack.defer(() => removeDemoNetwork(slug));
  const { spanDevice } = await makeDemoNetwork(slug);
  stand.hosts = stack.use(await startDemoHosts({ slug }));
  stand.sensor = stack.use(await makeNamespace());
  await runCommand("ip", ["link", "set", spanDevice, "netns", stand.sensor.name, "name", "span0"]);
  await stand.sensor.ip("link", "set", "span0", "arp", "off", "up");
  const directory = await mkdtemp(join(tmpdir(), "bulkhead-rules-"));
  stack.defer(() => rm(directory, { recursive: true, force: true }));
  stand.directory = directory;
});

after(() => stack.disposeAsync());

/** What Suricata makes of the traffic that `act` causes. */
async function observe(act: (hosts: DemoHosts) => Promise<unknown>): Promise<readonly EveRecord[]> {
  const { hosts, sensor, directory } = stand;
  if (hosts === undefined || sensor === undefined || directory === undefined) assert.fail("not set up");
  const pcap = join(directory, `${randomBytes(4).toString("hex")}.pcap`);
  await using recording = await capture({ namespace: sensor.name, device: "span0", file: pcap });
  await act(hosts);
  await recording.stop();
  return suricataRecords({ pcap, rules: DEMO_RULES_FILE });
}

test("benign traffic is seen whole and raises no alert, at a rate far above the demo's", async () => {
  const rounds = 240;
  const records = await observe(async (hosts) => {
    const { done, failures } = await runTraffic({ hosts, rate: 100, rounds });
    assert.deepEqual(failures, []);
    assert.deepEqual(done, { dns: 120, http: 60, tls: 20, ping: 20, ssh: 20 });
  });
  const count = (type: string): number => records.filter(({ event_type }) => event_type === type).length;
  assert.deepEqual([...countAlerts(records)], []);
  assert.equal(count("http"), 60);
  assert.equal(count("tls"), 20);
  assert.equal(count("ssh"), 20);
  assert.equal(count("dns"), 240);
});

for (const attack of ATTACK_IDS) {
  test(`attack ${attack} raises its signatures and no other`, async () => {
    const records = await observe((hosts) => runAttacks(hosts, [attack]));
    assert.deepEqual(new Set(countAlerts(records).keys()), new Set<number>(ATTACKS[attack].signatures));
  });
}

test("among benign traffic each attack is found too", async () => {
  const records = await observe(async (hosts) => {
    const stop = new AbortController();
    const traffic = runTraffic({ hosts, rate: 40, signal: stop.signal });
    const raised = await runAttacks(hosts);
    stop.abort();
    assert.deepEqual((await traffic).failures, []);
    assert.equal(raised.size, 14);
  });
  const expected = ATTACK_IDS.flatMap((attack): readonly number[] => ATTACKS[attack].signatures);
  assert.deepEqual(new Set(countAlerts(records).keys()), new Set(expected));
});

test("a rule that does not parse is an error and no silent absence", async () => {
  const { directory, sensor } = stand;
  assert.ok(directory !== undefined && sensor !== undefined);
  const rules = join(directory, "bad.rules");
  await writeFile(rules, 'alert http any any -> any any (msg:"no such keyword"; nonsense:1; sid:1;)\n');
  const pcap = join(directory, "bad.pcap");
  await using recording = await capture({ namespace: sensor.name, device: "span0", file: pcap });
  await stand.hosts?.ask("attacker", { kind: "attack", attack: "large-ping" });
  await recording.stop();
  await assert.rejects(suricataRecords({ pcap, rules }), {
    code: "testkit-suricata-failed",
    message: /nonsense/,
  });
});
