/** Segments, ports and dedicated devices: faults with their places, steps in a safe order, and what they achieve. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Observed, Plan } from "@bulkhead/schema";
import fc from "fast-check";
import { planSite, type PlanInput } from "../src/index.ts";
import { achieve, emptyHost, inputOf as planInputOf } from "./fixtures.ts";

const DEVICES = ["eth1", "eth2", "eth3"];
const inputOf = (text: string, more: Partial<PlanInput> = {}): PlanInput =>
  planInputOf(text, { files: [], observed: { ...emptyHost(DEVICES), vlanDevices: true }, ...more });
const short = (plan: Plan) => plan.steps.map((s) => `${s.kind} ${s.target}`);
const settle = (input: PlanInput): Observed => planSite(input).steps.reduce(achieve, input.observed);
const faults = (text: string) => planSite(inputOf(text)).faults.map((f) => `${f.code} ${f.path}`);

const site = (instruments: string, interfaces = "{ dmz: { kind: segment, device: eth2 } }"): string =>
  `apiVersion: bulkhead/v1\nsensor: demo\ninterfaces: ${interfaces}\ninstruments:\n${instruments}\n`;
const POT = (name: string, address: string, more = "listen: [tcp/22]") =>
  `  ${name}: { package: honeypot, bridge: { on: dmz, address: ${address}, ${more} } }`;
const A = "{ addresses: [192.0.2.10/24, 2001:db8::10/64], gateways: [192.0.2.1] }";
const B = "{ addresses: [192.0.2.11/24] }";

test("segment, then port, then container; a change of rules touches the port alone", () => {
  const input = inputOf(site(POT("pot", A)));
  assert.deepEqual(short(planSite(input)).slice(1), [
    "segment.create dmz",
    "port.connect pot",
    "instrument.create pot",
    "instrument.start pot",
  ]);
  const observed = settle(input);
  const changed = inputOf(site(POT("pot", A, "listen: [tcp/23]")), { observed });
  assert.deepEqual(short(planSite(changed)), ["port.connect pot"]);
});

test("what does not run has no namespace, so its container waits until it shall run", () => {
  const ported = inputOf(site(POT("pot", A)), { stopped: ["pot"] });
  assert.deepEqual(short(planSite(ported)).slice(1), ["segment.create dmz"]);
  const running = settle({ ...ported, stopped: [] });
  const other = site("  pot: { package: honeypot, dedicated: { device: eth3 } }", "{}");
  const stopped = inputOf(other, { observed: running, stopped: ["pot"] });
  assert.deepEqual(short(planSite(stopped)), [
    "instrument.stop pot",
    "port.disconnect pot",
    "segment.remove dmz",
  ]);
  const started = { ...stopped, observed: settle(stopped), stopped: [] };
  assert.deepEqual(short(planSite(started)), [
    "nic.give eth3",
    "instrument.remove pot",
    "instrument.create pot",
    "instrument.start pot",
  ]);
});

test("what leaves is stopped first and gives its device back", () => {
  const nic = inputOf(site("  pot: { package: honeypot, dedicated: { device: eth3 } }", "{}"));
  const observed = settle(nic);
  assert.deepEqual(short(planSite({ ...nic, observed, stopped: ["pot"] })), [
    "instrument.stop pot",
    "nic.return eth3",
  ]);
  const taken = inputOf(
    site("  pot: { package: honeypot }\n  other: { package: honeypot, dedicated: { device: eth3 } }", "{}"),
    { observed },
  );
  const steps = short(planSite(taken));
  assert.ok(steps.indexOf("instrument.stop pot") < steps.indexOf("nic.return eth3"));
  assert.ok(steps.indexOf("nic.return eth3") < steps.indexOf("nic.give eth3"));
});

test("a missing device or VLAN is waited for", () => {
  const vlan = site(POT("pot", A), "{ dmz: { kind: segment, device: eth2, vlan: 20 } }");
  const lacking = planSite(inputOf(vlan, { observed: emptyHost(DEVICES) }));
  assert.deepEqual(lacking.faults, []);
  assert.match(lacking.pending[0]?.what ?? "", /VLAN 20 of eth2: this kernel makes no VLAN devices/);
  const absent = inputOf(site(POT("pot", A)), { observed: emptyHost([]) });
  assert.match(planSite(absent).pending[0]?.what ?? "", /eth2, which is absent/);
  const observed = settle(absent);
  assert.deepEqual(short(planSite({ ...absent, observed })), []);
  const arrived = { ...observed, devices: ["eth2"] };
  assert.deepEqual(short(planSite({ ...absent, observed: arrived })), ["segment.create dmz"]);
});

test("an address that no server gives is waited for, where the device is there", () => {
  const instruments = `${POT("pot", "dhcp")}\n  own: { package: honeypot, dedicated: { device: eth3, address: dhcp } }`;
  const input = inputOf(site(instruments));
  const settled = settle(input);
  assert.deepEqual(planSite({ ...input, observed: settled }).pending, []);
  const noLease = "no server has answered yet";
  const observed = {
    ...settled,
    ports: settled.ports.map((port) => ({ ...port, noLease })),
    nics: settled.nics.map((nic) => ({ ...nic, noLease })),
  };
  const { pending } = planSite({ ...input, observed });
  assert.deepEqual(pending, [
    { instrument: "pot", what: `waits for an address on dmz: ${noLease}` },
    { instrument: "own", what: `waits for an address on eth3: ${noLease}` },
  ]);
  const gone = { ...observed, segments: observed.segments.map((s) => ({ ...s, state: "waiting" as const })) };
  assert.match(planSite({ ...input, observed: gone }).pending[0]?.what ?? "", /eth2, which is absent/);
});

test("faults name the place and what would be accepted", () => {
  assert.deepEqual(faults(site(POT("pot", A, "listen: [tcp/8080]"))), [
    "not-declared /instruments/pot/bridge/listen/0",
  ]);
  assert.deepEqual(
    faults(
      site(POT("pot", A, 'egress: ["tcp/198.51.100.7:443", "udp/198.51.100.7:53", "tcp/192.0.2.9:80"]')),
    ),
    ["not-declared /instruments/pot/bridge/egress/1", "not-declared /instruments/pot/bridge/egress/2"],
  );
  assert.deepEqual(faults(site(POT("pot", A, "listen: [tcp/0], egress: ['tcp/*:443']"))), [
    "invalid-value /instruments/pot/bridge/listen/0",
    "invalid-value /instruments/pot/bridge/egress/0",
  ]);
  assert.deepEqual(faults(site(`${POT("pot", A)}\n${POT("two", A)}`)), [
    "duplicate-address /instruments/two/bridge/address/addresses/0",
    "duplicate-address /instruments/two/bridge/address/addresses/1",
  ]);
  assert.deepEqual(faults(site(POT("pot", "{ addresses: [192.0.2.10/24], gateways: [198.51.100.1] }"))), [
    "invalid-value /instruments/pot/bridge/address/gateways/0",
  ]);
  const bounded = "{ dmz: { kind: segment, device: eth2, networks: [192.0.2.0/28, 2001:db8:1::/64] } }";
  assert.deepEqual(faults(site(POT("pot", A), bounded)), [
    "invalid-value /instruments/pot/bridge/address/addresses/1",
  ]);
  assert.deepEqual(faults(site(POT("pot", "dhcp"), bounded.replace("0/28", "1/28"))), [
    "invalid-value /interfaces/dmz/networks/0",
  ]);
  assert.deepEqual(faults(site(POT("pot", A).replace("on: dmz", "on: lan"))), [
    "unknown-interface /instruments/pot/bridge/on",
  ]);
  assert.deepEqual(faults(site(POT("pot", A).replace("} }", "}, dedicated: { device: eth2 } }"))), [
    "network-conflict /instruments/pot/dedicated",
    "duplicate-device /instruments/pot/dedicated/device",
  ]);
  assert.deepEqual(faults(site(POT("pot", A).replace("package: honeypot", "package: passive-dns"))), [
    "not-needed /instruments/pot/bridge",
  ]);
});

test("from the achieved state the plan is empty, from any network to any other", () => {
  const network = fc.constantFrom(
    "",
    `, bridge: { on: dmz, address: ${A}, listen: [tcp/22] }`,
    ", bridge: { on: dmz, address: dhcp, listen: [tcp/23] }",
    ", bridge: { on: lan, address: dhcp }",
    ", dedicated: { device: eth3 }",
    ", dedicated: { device: eth1, address: dhcp }",
  );
  const choice = fc.record({ pot: network, lan: fc.constantFrom("eth2", "eth4"), enabled: fc.boolean() });
  fc.assert(
    fc.property(
      fc.array(choice, { minLength: 1, maxLength: 5 }),
      fc.subarray(["pot"]),
      fc.boolean(),
      (choices, stopped, vlanDevices) => {
        let observed: Observed = { ...emptyHost(DEVICES), vlanDevices };
        for (const { pot, lan, enabled } of choices) {
          const text = site(
            `  pot: { package: honeypot, enabled: ${enabled}${pot} }\n  two: { package: honeypot, bridge: { on: dmz, address: ${B} } }`,
            `{ dmz: { kind: segment, device: ${lan === "eth2" ? "eth4" : "eth2"}, vlan: 20 }, lan: { kind: segment, device: ${lan} } }`,
          );
          const input = inputOf(text, { observed, stopped });
          assert.deepEqual(planSite(input).faults, []);
          observed = settle(input);
          assert.deepEqual(short(planSite({ ...input, observed })), []);
        }
      },
    ),
  );
});
