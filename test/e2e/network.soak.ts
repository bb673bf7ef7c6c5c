/**
 * A real instrument on a segment, and then with a device of its own: what reaches it and what it sends, seen by a
 * machine of that network, over start, restart, a changed site, a killed warden and tables flushed by hand.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { API_ROUTES, type InstrumentNetworkStatus, NetworkStatus } from "@bulkhead/schema";
import {
  capture,
  eventually,
  makeNamespace,
  type NetworkNamespace,
  runCommand,
  tryCommand,
} from "@bulkhead/testkit";
import { makeNoise } from "../integration/network/noise.ts";
import { answers, knock } from "./knock.ts";
import { makeSensorStand, type SensorStand } from "./sensor-stand.ts";

const DEVICE = "bhe2enet0";
const POT4 = "192.0.2.10";
const POT6 = "2001:db8::10";
const ADDRESS = `{ addresses: [${POT4}/24, "${POT6}/64"], gateways: [] }`;
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
const dedicated = siteOf(`dedicated: { device: ${DEVICE}, address: ${ADDRESS} }`, "{}", DEVICE);
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

test("a honeypot on a segment: found where the site says, and nothing else of it is ever on the wire", async () => {
  const file = join(stand.directory, "segment.pcap");
  await using watch = await capture({ namespace: lan.name, device: "lan0", file });
  // Knocks at both ports from before there is anything until all is gone: each moment without rules would show.
  await using knocks = await makeNoise(lan.name, [POT4, POT6], [23, 2323]);
  await stand.apply(bridged(23));
  await stand.settled();
  await answers(lan, POT4, 23);
  await answers(lan, POT6, 23);
  assert.equal(await knock(lan, POT4, 2323), "silent");
  const inside = `${stand.layout.slug}-pot`;
  const segment = `${stand.layout.slug}-seg_dmz`;
  // And from within, beside the instrument, to where nothing was granted.
  await using tries = await makeNoise(inside, ["192.0.2.1", "2001:db8::1"], [9998]);

  await stand.order("restart", "pot");
  await answers(lan, POT4, 23);
  const before = await stand.initPid("pot");
  const changesMs = Date.now();
  await stand.apply(bridged(2323));
  await answers(lan, POT4, 2323);
  const changedMs = Date.now();
  assert.equal(await knock(lan, POT4, 23), "silent");
  assert.equal(await stand.initPid("pot"), before, "the container stays when its rules change");

  process.kill(await stand.processPid("warden"), "SIGKILL");
  assert.equal(await knock(lan, POT4, 2323), "knock");
  assert.equal(await knock(lan, POT4, 23), "silent");
  for (const namespace of [segment, inside]) {
    await runCommand("nsenter", [`--net=/run/netns/${namespace}`, "--", "nft", "flush", "ruleset"]);
    assert.equal(await knock(lan, POT4, 23), "silent", "the other layer holds");
    await ruled(namespace);
  }
  assert.equal(await stand.initPid("pot"), before);
  const status = await inState("connected");
  assert.deepEqual(
    status.allowed.map(({ what, by }) => [what, by]),
    [["tcp/2323", "site.yaml:5"]],
  );
  assert.ok(status.lastRefused.some((r) => r.port === 23 && r.direction === "in"));

  const againMs = Date.now();
  await killedAtWork(bridged(23));
  await answers(lan, POT4, 23);
  const heldMs = Date.now();
  await stand.order("stop", "pot");
  await tries[Symbol.asyncDispose]();
  await knocks[Symbol.asyncDispose]();
  await watch.stop();

  const granted =
    "(tcp and (src port 23 or src port 2323)) or arp or (icmp6 and (ip6[40] = 135 or ip6[40] = 136))";
  const strange = `not ether src ${await lanMac()} and not (${granted})`;
  const { stdout } = await runCommand("tcpdump", ["-n", "-e", "-r", file, strange]);
  assert.equal(stdout, "", "frames that nobody granted");
  const [from23, from2323] = [await answeredMs(file, 23), await answeredMs(file, 2323)];
  assert.ok(from23.some((ms) => ms < changesMs) && from2323.some((ms) => ms > changedMs), "the control");
  assert.deepEqual(
    from2323.filter((ms) => ms < changesMs || ms > heldMs),
    [],
    "answers before the change that grants them, or after the one that takes them away",
  );
  assert.deepEqual(
    from23.filter((ms) => ms > changedMs && ms < againMs),
    [],
  );
  const contacts = await stand.events("echo-honeypot.contact", "pot");
  assert.ok(contacts.some(({ data }) => JSON.stringify(data).includes('"from":"2001:db8::1"')));
});

test("from a port to a device of its own and back, running or stopped; the device comes back down, without addresses", async () => {
  await stand.order("start", "pot");
  await answers(lan, POT4, 23);
  await stand.apply(dedicated);
  await answers(lan, POT4, 2323);
  await answers(lan, POT6, 23);
  const state = await inState("given");
  assert.deepEqual([state.kind, state.device], ["nic", DEVICE]);

  await stand.apply(bridged(23));
  await answers(lan, POT6, 23);
  assert.equal(await knock(lan, POT4, 2323), "silent");
  assert.equal((await inState("connected")).kind, "port");

  await stand.order("stop", "pot");
  await stand.apply(dedicated);
  assert.equal((await stand.instrument("pot")).state, "stopped");
  await stand.order("start", "pot");
  await answers(lan, POT4, 2323);
  await stand.order("stop", "pot");
  const { stdout } = await runCommand("ip", ["addr", "show", "dev", DEVICE]);
  assert.doesNotMatch(stdout, /inet|,UP|alias/);
  await stand.order("start", "pot");
  await answers(lan, POT4, 23);
});

test("nothing is left behind", async () => {
  await stand[Symbol.asyncDispose]();
  const { stdout: names } = await runCommand("ip", ["netns", "list"]);
  assert.doesNotMatch(names, new RegExp(stand.layout.slug));
  const { stdout } = await runCommand("ip", ["addr", "show", "dev", DEVICE]);
  assert.doesNotMatch(stdout, /inet|,UP|alias/);
  await runCommand("ip", ["link", "del", "dev", DEVICE]);
});

/** warden is killed while it takes the steps of a change, wherever it then is; the next one completes them. */
async function killedAtWork(site: string): Promise<void> {
  const warden = await stand.processPid("warden");
  const applied = stand.apply(site).catch((error: unknown) => error);
  await sleep(50 + Math.random() * 400);
  process.kill(warden, "SIGKILL");
  await applied;
  // The change may not have come to be the site in force.
  let last: unknown = null;
  await eventually(
    () => `the change is taken: ${String(last)}`,
    () => stand.apply(site).catch((error: unknown) => ((last = error), null)),
  );
  await stand.settled();
}

/** When a port answered who knocked, by the capture: SYN and ACK, in milliseconds since the epoch. */
async function answeredMs(file: string, port: number): Promise<readonly number[]> {
  const accepted = "(ip and tcp[13] & 0x12 = 0x12) or (ip6 and ip6[6] = 6 and ip6[53] & 0x12 = 0x12)";
  const { stdout } = await runCommand("tcpdump", [
    "-tt",
    "-n",
    "-r",
    file,
    `src port ${port} and (${accepted})`,
  ]);
  return stdout.split("\n").flatMap((line) => (line === "" ? [] : [Number(line.split(" ")[0]) * 1000]));
}

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
