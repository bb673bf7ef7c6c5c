/**
 * A real instrument on a segment, and then with a device of its own: what reaches it and what it sends, seen by a
 * machine of that network, over start, restart, a changed site, a killed warden and tables flushed by hand.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { API_ROUTES, type InstrumentNetworkStatus, NetworkStatus } from "@bulkhead/schema";
import { capture, makeNamespace, type NetworkNamespace, runCommand, tryCommand } from "@bulkhead/testkit";
import { makeSensorStand, type SensorStand } from "./sensor-stand.ts";

const DEVICE = "bhe2enet0";
const POT4 = "192.0.2.10";
const POT6 = "2001:db8::10";
const ADDRESS = `{ addresses: [${POT4}/24, "${POT6}/64"], gateways: [] }`;
/** Sends a word and prints what comes back; `silent` where nothing does. */
const KNOCK = `
const { connect } = require("node:net");
const socket = connect({ host: process.argv[1], port: Number(process.argv[2]) }, () => socket.end("knock"));
socket.setTimeout(2000, () => { console.log("silent"); process.exit(); });
socket.on("data", (data) => { console.log(String(data)); process.exit(); });
socket.on("error", (error) => { console.log(error.code); process.exit(); });
`;

let stand: SensorStand;
let lan: NetworkNamespace;
const owned = new AsyncDisposableStack();

before(async () => {
  stand = owned.use(await makeSensorStand("e2e-network"));
  lan = owned.use(await makeNamespace({ ipv6: true }));
  await tryCommand("ip", ["link", "del", "dev", DEVICE]);
  await runCommand("ip", ["link", "add", DEVICE, "type", "veth", "peer", "name", "lan0", "netns", lan.name]);
  for (const address of ["192.0.2.1/24", "2001:db8::1/64"])
    await lan.ip("addr", "add", address, "dev", "lan0");
  await lan.ip("link", "set", "lan0", "up");
});
after(() => owned.disposeAsync());

const siteOf = (network: string, interfaces: string, flow: string): string =>
  `apiVersion: bulkhead/v1
sensor: net
interfaces: ${interfaces}
instruments:
  pot: { package: echo-honeypot, ${network}, config: { ports: [23, 2323] } }
flows: [{ from: pot, to: ${flow}, why: it answers whoever comes }]
`;
const bridged = (port: number): string =>
  siteOf(
    `bridge: { on: dmz, address: ${ADDRESS}, listen: [tcp/${port}] }`,
    `{ dmz: { kind: segment, device: ${DEVICE} } }`,
    "dmz",
  );
const knock = async (host: string, port: number): Promise<string> =>
  (await lan.run(process.execPath, ["-e", KNOCK, host, String(port)])).stdout.trim();
/** What the sensor says of the instrument's network, once it says so: warden looks at what it has changed. */
async function inState(state: string): Promise<InstrumentNetworkStatus> {
  const deadlineMs = performance.now() + 60_000;
  for (;;) {
    const { instruments } = await stand.api.get(API_ROUTES.network.path, NetworkStatus);
    const [found] = instruments;
    if (found?.state === state) return found;
    if (performance.now() > deadlineMs) throw new Error(`it is ${found?.state}, not ${state}`);
    await sleep(200);
  }
}

/** Waits for a word on the port; whatever comes in between is not taken for one. */
async function answers(host: string, port: number): Promise<void> {
  const deadlineMs = performance.now() + 60_000;
  while ((await knock(host, port)) !== "knock") {
    if (performance.now() > deadlineMs) throw new Error(`no answer from ${host} port ${port}`);
    await sleep(200);
  }
}

test("a honeypot on a segment: found where the site says, and nothing else of it is ever on the wire", async () => {
  const file = join(stand.directory, "segment.pcap");
  await using watch = await capture({ namespace: lan.name, device: "lan0", file });
  await stand.apply(bridged(23));
  await stand.settled();
  await answers(POT4, 23);
  await answers(POT6, 23);
  assert.equal(await knock(POT4, 2323), "silent");
  const inside = `${stand.layout.slug}-pot`;
  const segment = `${stand.layout.slug}-seg_dmz`;

  await stand.order("restart", "pot");
  await answers(POT4, 23);
  const before = await stand.initPid("pot");
  await stand.apply(bridged(2323));
  await answers(POT4, 2323);
  assert.equal(await knock(POT4, 23), "silent");
  assert.equal(await stand.initPid("pot"), before, "the container stays when its rules change");

  process.kill(await stand.processPid("warden"), "SIGKILL");
  assert.equal(await knock(POT4, 2323), "knock");
  assert.equal(await knock(POT4, 23), "silent");
  for (const namespace of [segment, inside]) {
    await runCommand("nsenter", [`--net=/run/netns/${namespace}`, "--", "nft", "flush", "ruleset"]);
    assert.equal(await knock(POT4, 23), "silent", "the other layer holds");
    await ruled(namespace);
  }
  assert.equal(await stand.initPid("pot"), before);
  const status = await inState("connected");
  assert.deepEqual(
    status.allowed.map(({ what, by }) => [what, by]),
    [["tcp/2323", "site.yaml:5"]],
  );
  assert.ok(status.lastRefused.some((r) => r.port === 23 && r.direction === "in"));
  await stand.order("stop", "pot");
  await watch.stop();

  const granted =
    "(tcp and (src port 23 or src port 2323)) or arp or (icmp6 and (ip6[40] = 135 or ip6[40] = 136))";
  const strange = `not ether src ${await lanMac()} and not (${granted})`;
  const { stdout } = await runCommand("tcpdump", ["-n", "-e", "-r", file, strange]);
  assert.equal(stdout, "", "frames that nobody granted");
  const contacts = await stand.events("echo-honeypot.contact", "pot");
  assert.ok(contacts.some(({ data }) => JSON.stringify(data).includes('"from":"2001:db8::1"')));
});

test("a device of its own goes in, and comes back down and without addresses", async () => {
  await stand.apply(siteOf(`dedicated: { device: ${DEVICE}, address: ${ADDRESS} }`, "{}", DEVICE));
  await stand.order("start", "pot");
  await answers(POT4, 2323);
  await answers(POT6, 23);
  const state = await inState("given");
  assert.deepEqual([state.kind, state.device], ["nic", DEVICE]);
  await stand.order("stop", "pot");
  const { stdout } = await runCommand("ip", ["addr", "show", "dev", DEVICE]);
  assert.doesNotMatch(stdout, /inet|,UP|alias/);
  await stand.order("start", "pot");
  await answers(POT4, 23);
});

test("nothing is left behind", async () => {
  await stand[Symbol.asyncDispose]();
  const { stdout: names } = await runCommand("ip", ["netns", "list"]);
  assert.doesNotMatch(names, new RegExp(stand.layout.slug));
  const { stdout } = await runCommand("ip", ["addr", "show", "dev", DEVICE]);
  assert.doesNotMatch(stdout, /inet|,UP|alias/);
  await runCommand("ip", ["link", "del", "dev", DEVICE]);
});

/** warden sees by itself that rules are missing. */
async function ruled(namespace: string): Promise<void> {
  const deadlineMs = performance.now() + 90_000;
  for (;;) {
    const argv = [`--net=/run/netns/${namespace}`, "--", "nft", "list", "ruleset"];
    if ((await runCommand("nsenter", argv)).stdout.includes("policy drop")) break;
    if (performance.now() > deadlineMs) throw new Error(`no rules in ${namespace}`);
    await sleep(200);
  }
  await stand.settled();
}

async function lanMac(): Promise<string> {
  return /"address":"([^"]+)"/.exec(await lan.ip("-j", "link", "show", "lan0"))?.[1] ?? "";
}
