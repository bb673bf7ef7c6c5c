/**
 * Every kind of access on one sensor, in brief: a honeypot with a port on a segment, one with a device of its own, and
 * a fetcher that has no interface and a socket to the proxy. The soaks network and egress go through all that may
 * happen to them.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { API_ROUTES, NetworkStatus } from "@bulkhead/schema";
import {
  capture,
  eventually,
  makeNamespace,
  type NetworkNamespace,
  runCommand,
  tryCommand,
} from "@bulkhead/testkit";
import * as z from "zod";
import { answers, knock } from "./knock.ts";
import { makeOutside, PLACE } from "./outside.ts";
import { makeSensorStand, type SensorStand } from "./sensor-stand.ts";

const DEVICES = { dmz: "bhe2eacc0", own: "bhe2eacc1", feeds: "bhe2eacc2" } as const;
const POT = "192.0.2.10";
const OWN6 = "2001:db8::10";
const SITE = `apiVersion: bulkhead/v1
sensor: access
interfaces:
  dmz: { kind: segment, device: ${DEVICES.dmz} }
  feeds:
    kind: egress
    device: ${DEVICES.feeds}
    address: { addresses: [${PLACE.proxy}/24], gateways: [${PLACE.dns}] }
    dns: [${PLACE.dns}]
    allow: ["http://web.example.net:80", "http://other.example.net:80"]
instruments:
  pot:
    package: echo-honeypot
    bridge: { on: dmz, address: { addresses: [${POT}/24] }, listen: [tcp/23] }
    config: { ports: [23, 2323] }
  own:
    package: echo-honeypot
    dedicated: { device: ${DEVICES.own}, address: { addresses: ["${OWN6}/64"] } }
    config: { ports: [23, 2323] }
  probe:
    package: fetch-probe
    egress: { through: feeds, hosts: ["http://web.example.net:80"] }
    config: { urls: ["http://web.example.net/one", "http://other.example.net/two"], intervalMs: 1000 }
flows:
  - { from: pot, to: dmz, why: it answers whoever comes }
  - { from: own, to: ${DEVICES.own}, why: it answers whoever comes }
`;
const Result = z.looseObject({
  url: z.string(),
  status: z.int().optional(),
  message: z.string().default(""),
});

let stand: SensorStand;
let lan: NetworkNamespace;
const owned = new AsyncDisposableStack();

before(async () => {
  stand = owned.use(await makeSensorStand("e2e-access"));
  owned.use(await makeOutside(DEVICES.feeds));
  lan = owned.use(await makeNamespace({ ipv6: true }));
  for (const [device, far, address] of [
    [DEVICES.dmz, "lan0", "192.0.2.1/24"],
    [DEVICES.own, "lan1", "2001:db8::1/64"],
  ] as const) {
    await tryCommand("ip", ["link", "del", "dev", device]);
    await runCommand("ip", ["link", "add", device, "type", "veth", "peer", "name", far, "netns", lan.name]);
    owned.defer(async () => void (await tryCommand("ip", ["link", "del", "dev", device])));
    await lan.ip("addr", "add", address, "dev", far);
    await lan.ip("link", "set", far, "up");
  }
});
after(() => owned.disposeAsync());

test("what the site grants is there, and nothing else", async (t) => {
  const file = join(stand.directory, "segment.pcap");
  await using watch = await capture({ namespace: lan.name, device: "lan0", file });
  await stand.apply(SITE);
  await stand.settled();

  await t.test("a port on a segment: its listen port alone", async () => {
    await answers(lan, POT, 23);
    assert.equal(await knock(lan, POT, 2323), "silent");
  });
  await t.test("a device of its own: all of it", async () => {
    await answers(lan, OWN6, 23);
    await answers(lan, OWN6, 2323);
  });
  await t.test("the proxy: the granted host alone, and the refusal is told and audited", async () => {
    const lastOf = (url: string) =>
      eventually(`a result of ${url}`, async () => {
        const events = await stand.events("fetch-probe.result", "probe");
        return events.map(({ data }) => Result.parse(data)).findLast((result) => result.url === url) ?? null;
      });
    assert.equal((await lastOf("http://web.example.net/one")).status, 200);
    assert.match((await lastOf("http://other.example.net/two")).message, /not-granted/);
    await eventually("an event", async () => (await stand.events("egress.refused", "platform"))[0] ?? null);
    await stand.audited("egress.refused", "probe", /other\.example\.net/);
  });
  await t.test("each is shown with its network", async () => {
    const { instruments } = await stand.api.get(API_ROUTES.network.path, NetworkStatus);
    assert.deepEqual(
      instruments.map(({ instrument, kind, state }) => [instrument, kind, state]),
      [
        ["pot", "port", "connected"],
        ["own", "nic", "given"],
        ["probe", "none", "no network"],
      ],
    );
  });

  await watch.stop();
  const strange = `not ether src ${await lanMac()} and not (arp or (tcp and src host ${POT} and src port 23))`;
  assert.equal((await runCommand("tcpdump", ["-n", "-e", "-r", file, strange])).stdout, "");
});

test("an absent device is waited for, and said", async () => {
  await lan.ip("link", "del", "lan0");
  const { pending, instruments } = await stand.until("pot waits", (status) =>
    status.instruments.some(({ name, state }) => name === "pot" && state === "pending"),
  );
  const what = `waits for device ${DEVICES.dmz}, which is absent`;
  assert.deepEqual(pending, [{ instrument: "pot", what }]);
  assert.equal(instruments.find(({ name }) => name === "pot")?.detail, what);
});

test("nothing is left behind: devices are back, down and without addresses", async () => {
  await stand[Symbol.asyncDispose]();
  const { stdout: names } = await runCommand("ip", ["netns", "list"]);
  assert.doesNotMatch(names, new RegExp(stand.layout.slug));
  for (const device of [DEVICES.own, DEVICES.feeds]) {
    const { stdout } = await runCommand("ip", ["addr", "show", "dev", device]);
    assert.doesNotMatch(stdout, /inet|,UP|alias/);
  }
});

async function lanMac(): Promise<string> {
  return /"address":"([^"]+)"/.exec(await lan.ip("-j", "link", "show", "lan0"))?.[1] ?? "";
}
