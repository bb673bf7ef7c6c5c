/** Egress: faults with their places, the proxy before what is to use it, and nothing left to do once it is there. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Catalogue, Observed, Plan } from "@bulkhead/schema";
import {
  checkedSite,
  explainInstrument,
  parseManifest,
  planSite,
  type PlanInput,
  widerRequests,
} from "../src/index.ts";
import { achieve, emptyHost, inputOf as planInputOf } from "./fixtures.ts";

function packageOf(name: string, need: string): Catalogue[string] {
  const text = `apiVersion: bulkhead/v1
name: ${name}
version: 1.0.0
title: ${name}
role: helper
image: { base: debian }
run: { command: [/opt/node/bin/node] }
resources: { memory: 64MiB, cpu: 0.5, processes: 32 }
needs: [${need}]
`;
  const parsed = parseManifest(text, `${name}/instrument.yaml`);
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.faults));
  const file = `${name}/instrument.yaml`;
  return {
    manifest: parsed.value,
    manifestFile: file,
    manifestText: text,
    configSchema: null,
    digest: "c".repeat(64),
  };
}
const catalogue: Catalogue = {
  fetcher: packageOf(
    "fetcher",
    '{ id: out, kind: net.egress, hosts: [a.example.net:443, "http://b.example.net:80"] }',
  ),
  open: packageOf("open", "{ id: out, kind: net.egress }"),
  closed: packageOf("closed", ""),
};
const inputOf = (text: string, more: Partial<PlanInput> = {}): PlanInput =>
  planInputOf(text, { catalogue, files: [], observed: emptyHost(["eth1", "eth2"]), ...more });
const FEEDS = `feeds: { kind: egress, device: eth1, address: dhcp, dns: [192.0.2.53], allow: [a.example.net:443, c.example.net:443, "http://b.example.net:80"] }`;
const site = (instruments: string, interfaces = FEEDS): string =>
  `apiVersion: bulkhead/v1\nsensor: demo\ninterfaces:\n  ${interfaces}\ninstruments:\n  ${instruments}\n`;
const grant = (hosts: string, more = ""): string =>
  `fetch: { package: fetcher, egress: { through: feeds, hosts: [${hosts}] ${more}} }`;
const faults = (text: string) => planSite(inputOf(text)).faults.map((f) => `${f.code} ${f.path}`);
const short = (plan: Plan) => plan.steps.map((s) => `${s.kind} ${s.target}`);
const settle = (input: PlanInput): Observed => planSite(input).steps.reduce(achieve, input.observed);

test("the proxy comes before the container, and from there nothing is left to do", () => {
  const input = inputOf(site(grant("A.example.net:443")));
  assert.deepEqual(short(planSite(input)).slice(1), [
    "egress.open feeds",
    "egress.permit feeds",
    "instrument.create fetch",
    "instrument.start fetch",
  ]);
  const observed = settle(input);
  assert.deepEqual(planSite({ ...input, observed }).steps, []);
  assert.equal(observed.devices.includes("eth1"), false);
});

test("a changed grant is the policy's alone; a changed list is the rules' too; a new warden tells it anew", () => {
  const observed = settle(inputOf(site(grant("a.example.net:443"))));
  const stepsOf = (text: string, from: Observed = observed) =>
    short(planSite(inputOf(text, { observed: from })));
  const both = site(grant('a.example.net:443, "http://b.example.net:80"'));
  assert.deepEqual(stepsOf(both), ["egress.permit feeds"]);
  const wider = site(grant("a.example.net:443"), FEEDS.replace("c.example.net:443", "c.example.net:8443"));
  assert.deepEqual(stepsOf(wider), ["egress.open feeds"]);
  assert.ok(observed.egress);
  const ended = { ...observed, egress: { ...observed.egress, policy: null, process: false } };
  assert.deepEqual(stepsOf(site(grant("a.example.net:443")), ended), ["egress.permit feeds"]);
  const broken = { ...observed, egress: { ...observed.egress, state: "broken" as const } };
  assert.deepEqual(stepsOf(site(grant("a.example.net:443")), broken), ["egress.open feeds"]);
});

test("what is granted to nobody is closed first, and the device is free", () => {
  const observed = settle(inputOf(site(grant("a.example.net:443"))));
  const without = inputOf(site("fetch: { package: fetcher }"), { observed });
  assert.equal(short(planSite(without))[0], "egress.close feeds");
  assert.equal(settle(without).devices.includes("eth1"), true);
  const other = inputOf(site(grant("a.example.net:443"), FEEDS.replace("eth1", "eth2")), { observed });
  assert.deepEqual(short(planSite(other)), [
    "egress.close feeds",
    "egress.open feeds",
    "egress.permit feeds",
  ]);
});

test("an absent device is waited for, and the instrument runs meanwhile", () => {
  const input = inputOf(site(grant("a.example.net:443")), { observed: emptyHost([]) });
  const plan = planSite(input);
  assert.deepEqual(short(plan).slice(1), ["instrument.create fetch", "instrument.start fetch"]);
  assert.match(plan.pending[0]?.what ?? "", /eth1, which is absent/);
});

test("a VLAN that the kernel cannot make is waited for", () => {
  const tagged = FEEDS.replace("device: eth1", "device: eth1, vlan: 20");
  const input = inputOf(site(grant("a.example.net:443"), tagged));
  const plan = planSite(input);
  assert.deepEqual(short(plan).slice(1), ["instrument.create fetch", "instrument.start fetch"]);
  assert.match(plan.pending[0]?.what ?? "", /VLAN 20 of eth1: this kernel makes no VLAN devices/);
  const able = { ...input, observed: { ...input.observed, vlanDevices: true } };
  assert.equal(short(planSite(able))[1], "egress.open feeds");
});

test("every fault has its place, and wildcards are told so", () => {
  const at = "/instruments/fetch/egress";
  assert.deepEqual(faults(site(grant("a.example.net:443"))), []);
  assert.deepEqual(faults(site(grant("c.example.net:443"))), [`not-declared ${at}/hosts/0`]);
  assert.deepEqual(faults(site(grant("z.example.net:443"))), [`not-declared ${at}/hosts/0`]);
  assert.deepEqual(
    faults(site("fetch: { package: open, egress: { through: feeds, hosts: [c.example.net:443] } }")),
    [],
  );
  const unasked = "fetch: { package: closed, egress: { through: feeds, hosts: [a.example.net:443] } }";
  assert.deepEqual(faults(site(unasked)), [`not-needed ${at}`]);
  assert.deepEqual(faults(site(grant("a.example.net:443").replace("feeds", "other"))), [
    `unknown-interface ${at}/through`,
  ]);
  for (const host of [
    '"*.example.net:443"',
    '"*:443"',
    "192.0.2.1:443",
    "a.example.net",
    "https://a.example.net:443",
    "a.example.net:0",
    "a.example.net.:443",
  ]) {
    const plan = planSite(inputOf(site(grant(host))));
    assert.equal(plan.faults[0]?.path, `${at}/hosts/0`, host);
    assert.equal(plan.faults[0]?.message.includes("wildcard is never granted"), host.includes("*"), host);
  }
  const second = `${FEEDS}\n  more: { kind: egress, device: eth2, address: dhcp, dns: [192.0.2.53] }`;
  assert.deepEqual(faults(site(grant("a.example.net:443"), second)), ["invalid-value /interfaces/more/kind"]);
  const mute = FEEDS.replace("dns: [192.0.2.53], ", "");
  assert.deepEqual(faults(site(grant("a.example.net:443"), mute)), ["missing /interfaces/feeds/dns"]);
});

test("explain names each host and the line that grants it", () => {
  const checked = checkedSite(inputOf(site(grant("a.example.net:443"))));
  if ("faults" in checked) throw new Error(JSON.stringify(checked.faults));
  const reach = explainInstrument("fetch", checked)?.sections.find((s) => s.title === "can reach");
  assert.ok(
    reach?.lines.some(({ text, by }) => text.startsWith("a.example.net:443, in TLS") && by === "site.yaml:6"),
  );
});

test("an empty list of hosts is wider than any, and a shorter one is narrower", () => {
  const manifest = (hosts: string) =>
    packageOf("x", `{ id: out, kind: net.egress, hosts: [${hosts}] }`).manifest;
  const wider = (before: string, next: string) => widerRequests(manifest(before), manifest(next));
  assert.deepEqual(wider("a.example.net:443", ""), ["net.egress out"]);
  assert.deepEqual(wider("", "a.example.net:443"), []);
  assert.deepEqual(wider("a.example.net:443", "a.example.net:443, b.example.net:443"), ["net.egress out"]);
  assert.deepEqual(wider("a.example.net:443, b.example.net:443", "a.example.net:443"), []);
});
