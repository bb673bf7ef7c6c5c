/**
 * Two layers, each of which holds alone; and captures on the segment over everything that changes a port: nothing
 * that was not granted is on the wire at any moment.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { capture, runCommand } from "@bulkhead/testkit";
import { LAN4, LAN6, listen, makeNetworkStand, reach, until } from "./network-stand.ts";
import { makeNoise } from "./noise.ts";

const POT4 = "192.0.2.10";
const POT6 = "2001:db8::10";

test("each layer holds alone, is missed and is put back", async (t) => {
  await using stand = await makeNetworkStand();
  const lan = stand.lan.name;
  const port = await stand.connect({ instrument: "pot", listen: ["tcp/2200"], egress: [`tcp/${LAN4}:4430`] });
  const pot = stand.namespace("pot");
  await using potHeld = new AsyncDisposableStack();
  potHeld.use(await listen(pot, [2200, 2300]));
  await using lanHeld = new AsyncDisposableStack();
  lanHeld.use(await listen(lan, [4430, 4440]));
  const holds = async (what: string): Promise<void> => {
    const found = await Promise.all([reach(lan, POT4, 2300), reach(pot, LAN4, 4440)]);
    assert.deepEqual(found, ["silent", "silent"], `${what}: an undeclared port, and undeclared egress`);
  };
  const layers = [
    ["the segment's layer deleted", `${stand.slug}-seg_dmz`, ["flush", "ruleset"], /open/],
    ["the instrument's layer deleted", pot, ["flush", "ruleset"], /open/],
    ["the instrument's layer emptied", pot, ["flush", "table", "inet", "bulkhead"], /silent/],
  ] as const;
  for (const [what, namespace, argv, granted] of layers) {
    await t.test(what, async () => {
      await runCommand("nsenter", [`--net=/run/netns/${namespace}`, "--", "nft", ...argv]);
      const [found] = await Promise.all([reach(lan, POT4, 2200), holds(what)]);
      assert.match(found, granted);
      assert.equal(await stand.state("pot"), "broken");
      await stand.network.connectPort(port);
      assert.equal(await stand.state("pot"), "connected");
      assert.equal(await reach(lan, POT4, 2200), "open here");
    });
  }
  await t.test("both deleted: the control", async () => {
    for (const namespace of [`${stand.slug}-seg_dmz`, pot])
      await runCommand("nsenter", [`--net=/run/netns/${namespace}`, "--", "nft", "flush", "ruleset"]);
    const found = await Promise.all([reach(lan, POT4, 2300), reach(pot, LAN4, 4440)]);
    assert.deepEqual(found, ["open here", "open here"]);
  });
});

test("nothing that was not granted is on the segment while its port is made, changed, broken and healed", async () => {
  await using stand = await makeNetworkStand();
  const file = join(stand.directory, "segment.pcap");
  const watch = await capture({ namespace: stand.lan.name, device: "lan0", file });
  const port = await stand.connect({ instrument: "pot", listen: ["tcp/2200"] });
  const pot = stand.namespace("pot");
  await using potHeld = new AsyncDisposableStack();
  potHeld.use(await listen(pot, [2200, 2300]));
  await using noiseHeld = new AsyncDisposableStack();
  noiseHeld.use(await makeNoise(pot, [LAN4, LAN6], [9998]));
  await using knockHeld = new AsyncDisposableStack();
  knockHeld.use(await makeNoise(stand.lan.name, [POT4, POT6], [9998]));
  await stand.connect({ ...port, listen: ["tcp/2300"], policy: "bb" });
  assert.equal(await reach(stand.lan.name, POT4, 2300), "open here");
  assert.equal(await reach(stand.lan.name, POT4, 2200), "silent");
  for (const namespace of [`${stand.slug}-seg_dmz`, pot]) {
    await runCommand("nsenter", [`--net=/run/netns/${namespace}`, "--", "nft", "flush", "ruleset"]);
    await until("the hole is seen", async () => (await stand.state("pot")) === "broken");
    await stand.connect({ ...port, policy: "cc" });
  }
  await runCommand("ip", ["-n", pot, "link", "del", "eth0"]);
  assert.equal(await stand.state("pot"), "broken");
  await stand.connect({ ...port, policy: "cc" });
  assert.equal(await reach(stand.lan.name, POT4, 2200), "open here");
  await stand.network.disconnectPort("pot");
  await watch.stop();

  const mac = `ether src ${await instrumentMac(file)}`;
  const granted =
    "(tcp and (src port 2200 or src port 2300)) or arp or (icmp6 and (ip6[40] = 135 or ip6[40] = 136))";
  assert.ok((await count(file, `${mac} and tcp src port 2200`)) > 0, "the capture sees what is granted");
  const { stdout } = await runCommand("tcpdump", ["-n", "-e", "-r", file, `${mac} and not (${granted})`]);
  assert.equal(stdout, "", "frames of the instrument that nobody granted");
  // The knocks came; no answer but on the granted port.
  assert.ok((await count(file, `dst host ${POT4} and port 9998`)) > 0);
});

async function instrumentMac(file: string): Promise<string> {
  const { stdout } = await runCommand("tcpdump", ["-n", "-e", "-c", "1", "-r", file, `src host ${POT4}`]);
  return /([0-9a-f:]{17}) >/.exec(stdout)?.[1] ?? "";
}

async function count(file: string, filter: string): Promise<number> {
  const { stdout } = await runCommand("tcpdump", ["-n", "-r", file, filter]);
  return stdout.split("\n").filter(Boolean).length;
}
