/** The demo's network on the real kernel: made twice, moved, broken, mended and removed. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, test } from "node:test";
import {
  HOST_ROLES,
  SWITCH_SPAN_DEVICE,
  type SnapshotSection,
  demoTopology,
  diffSnapshots,
  listNamespaces,
  makeDemoNetwork,
  makeNamespace,
  observeDemoNetwork,
  openNamespace,
  readCounters,
  removeDemoNetwork,
  renderDifferences,
  runCommand,
  takeSnapshot,
} from "@bulkhead/testkit";

const slug = `bulkhead-t${randomBytes(3).toString("hex")}`;
const topology = demoTopology(slug);
const theSwitch = openNamespace(topology.switchNamespace);
const about = new RegExp(`${slug}|${topology.spanDevice}`);

after(() => removeDemoNetwork(slug));

test("an absent network is seen as absent, and removing it is no error", async () => {
  assert.deepEqual(await observeDemoNetwork(slug), { state: "absent" });
  await removeDemoNetwork(slug);
});

test("of the host it touches the span's end alone, and removing it leaves nothing", async () => {
  const before = await takeSnapshot();
  await makeDemoNetwork(slug);
  const made = diffSnapshots(before, await takeSnapshot(), { about });
  const inSection = (section: SnapshotSection): readonly string[] =>
    made.filter((difference) => difference.section === section).map(({ fact }) => fact.split(" ")[0] ?? "");
  const namespaces = [topology.switchNamespace, ...HOST_ROLES.map((role) => topology.hosts[role].namespace)];
  const paths = namespaces.map((name) => `/run/netns/${name}`).toSorted();
  assert.deepEqual(inSection("links"), [topology.spanDevice]);
  assert.deepEqual(inSection("namespaces"), namespaces.toSorted());
  assert.deepEqual(inSection("files"), paths);
  assert.deepEqual([...new Set(inSection("mounts"))], paths);
  const others = made.filter(({ section }) => !["links", "namespaces", "files", "mounts"].includes(section));
  assert.equal(renderDifferences(others), "");
  await removeDemoNetwork(slug);
  assert.equal(renderDifferences(diffSnapshots(before, await takeSnapshot(), { about })), "");
});

test("making it again changes nothing, and a span end that was moved stays where it is", async () => {
  await makeDemoNetwork(slug);
  await using sensor = await makeNamespace();
  await runCommand("ip", ["link", "set", topology.spanDevice, "netns", sensor.name, "name", "span0"]);
  await sensor.ip("link", "set", "span0", "up");
  const indexOf = async (): Promise<string> => theSwitch.ip("-o", "link", "show", SWITCH_SPAN_DEVICE);
  const before = await indexOf();
  await makeDemoNetwork(slug);
  assert.equal(await indexOf(), before);
  assert.match(await sensor.ip("-o", "link", "show", "span0"), /state UP/);
  assert.equal((await observeDemoNetwork(slug)).state, "up");
});

test("each frame that enters the switch is mirrored once, and what comes back is counted", async () => {
  // The sensor's namespace of the test before took the span along: this mends it.
  await makeDemoNetwork(slug);
  await using sensor = await makeNamespace();
  await runCommand("ip", ["link", "set", topology.spanDevice, "netns", sensor.name]);
  await sensor.ip("link", "set", topology.spanDevice, "arp", "off", "up");
  const entered = async (): Promise<number> => {
    const counters = await Promise.all(
      HOST_ROLES.map((port) => readCounters(port, topology.switchNamespace)),
    );
    return counters.reduce((sum, { rxPackets }) => sum + rxPackets, 0);
  };
  // The hosts' own neighbour discovery comes when it likes: read until nothing came between two readings.
  const readBoth = async (): Promise<{ readonly entered: number; readonly mirrored: number }> => {
    for (;;) {
      const earlier = await entered();
      const { rxPackets } = await readCounters(topology.spanDevice, sensor.name);
      if ((await entered()) === earlier) return { entered: earlier, mirrored: rxPackets };
    }
  };
  const start = await readBoth();
  const { hosts } = topology;
  for (const [from, to] of [
    [hosts.client1, hosts.web.ipv4],
    [hosts.client2, hosts.dns.ipv6],
    [hosts.attacker, hosts.web.ipv4],
    [hosts.attacker, hosts.web.ipv6],
  ] as const) {
    await openNamespace(from.namespace).run("ping", ["-n", "-q", "-c", "5", "-i", "0.02", to]);
  }
  const end = await readBoth();
  assert.equal(end.mirrored - start.mirrored, end.entered - start.entered);
  assert.ok(end.mirrored - start.mirrored >= 40, `${end.mirrored - start.mirrored} frames of 20 pings`);

  const quiet = await observeDemoNetwork(slug);
  assert.ok(quiet.state === "up" && quiet.span.backPackets === 0, JSON.stringify(quiet));
  // Something on the sensor's side speaks: the switch must tell.
  await sensor.ip("addr", "add", "192.0.2.1/24", "dev", topology.spanDevice);
  await sensor.ip("neigh", "add", "192.0.2.2", "lladdr", "02:bd:00:00:00:09", "dev", topology.spanDevice);
  await assert.rejects(sensor.run("ping", ["-n", "-q", "-c", "1", "-W", "1", "192.0.2.2"]));
  const leaky = await observeDemoNetwork(slug);
  assert.ok(leaky.state === "up" && leaky.span.backPackets === 1, JSON.stringify(leaky));
});

test("no host has a way out of its network", async () => {
  for (const role of HOST_ROLES) {
    const host = openNamespace(topology.hosts[role].namespace);
    for (const family of ["-4", "-6"]) {
      assert.doesNotMatch(await host.ip(family, "route", "show"), /default|via/, `${role} ${family}`);
    }
    await assert.rejects(host.run("ping", ["-n", "-c", "1", "-W", "1", "192.0.2.1"]), /unreachable/i);
  }
});

test("what somebody takes away is named, and made again", async () => {
  await makeDemoNetwork(slug);
  await theSwitch.ip("link", "del", "client1");
  await theSwitch.tc("qdisc", "del", "dev", "web", "clsact");
  assert.deepEqual(await observeDemoNetwork(slug), {
    state: "partial",
    missing: [
      { kind: "device", name: "client1" },
      { kind: "mirror", name: "web" },
    ],
  });
  await theSwitch.ip("link", "del", SWITCH_SPAN_DEVICE);
  await runCommand("ip", ["netns", "del", topology.hosts.client2.namespace]);
  await makeDemoNetwork(slug);
  assert.equal((await observeDemoNetwork(slug)).state, "up");
  await openNamespace(topology.hosts.client1.namespace).run("ping", [
    "-c",
    "1",
    "-W",
    "2",
    topology.hosts.web.ipv4,
  ]);
  await removeDemoNetwork(slug);
  assert.deepEqual(
    [...(await listNamespaces())].filter((name) => name.startsWith(slug)),
    [],
  );
});
