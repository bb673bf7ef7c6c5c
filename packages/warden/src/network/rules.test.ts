/** Rules of both layers as text: what each policy lets pass, and that nothing is left open. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { renderBridgeRules } from "./bridge-rules.ts";
import { renderInstrumentRules } from "./instrument-rules.ts";
import { egressFlows, listenFlows, type PortPolicy } from "./port-policy.ts";

const POLICY: PortPolicy = {
  mac: "02:aa:bb:cc:dd:ee",
  instrumentsMac: "02:aa:bb:00:00:00",
  ipv4: ["192.0.2.10"],
  ipv6: ["2001:db8::10", "fe80::aa:bbff:fecc:ddee"],
  listen: listenFlows(["tcp/22", "udp/5000-5010"]),
  egress: egressFlows(["tcp/198.51.100.0/24:443", "udp/[2001:db8::53]:53"]),
  dhcpUid: null,
};
const accepts = (text: string) =>
  text.split("\n").flatMap((line) => (/ accept( |$)/.test(line) ? [line.trim()] : []));

test("every chain of both layers drops what no rule accepts", () => {
  const bridge = renderBridgeRules("q0", POLICY);
  assert.equal(bridge.match(/hook (ingress|egress) device "q0" priority 0; policy drop;/g)?.length, 2);
  const inside = renderInstrumentRules(POLICY);
  assert.equal(inside.match(/hook (input|output|forward) priority 0; policy drop;/g)?.length, 3);
});

test("what would be one connection too many is dropped before anything is accepted, over loopback too", () => {
  const inside = renderInstrumentRules(POLICY);
  const [, input = "", output = ""] = inside.split(/^  chain .*$/m);
  assert.ok(output.indexOf("ct count over") > 0);
  assert.ok(output.indexOf("ct count over") < output.indexOf(" accept"));
  assert.ok(input.indexOf("ct count over") > 0);
  assert.ok(input.indexOf("ct count over") < input.indexOf("dport 22"));
});

test("a port without addresses, listen and egress takes and sends nothing", () => {
  const nothing = { ...POLICY, ipv4: [], ipv6: [], listen: [], egress: [] };
  assert.deepEqual(accepts(renderBridgeRules("q0", nothing)), []);
  assert.deepEqual(accepts(renderInstrumentRules(nothing)), ['iifname "lo" accept', 'oifname "lo" accept']);
});

test("each rule that accepts names an own address, and a port that the site names", () => {
  for (const rule of accepts(renderBridgeRules("q0", POLICY))) {
    assert.match(rule, /192\.0\.2\.10|2001:db8::10|20010db8000000000000000000000010/, rule);
    if (/ (tcp|udp) /.test(rule)) assert.match(rule, /port (22|5000-5010|443|53) /, rule);
  }
  const flows = accepts(renderInstrumentRules(POLICY)).filter((rule) => / (tcp|udp) /.test(rule));
  assert.ok(flows.length > 0);
  for (const rule of flows) {
    assert.match(rule, /192\.0\.2\.10|2001:db8::10/, rule);
    assert.match(rule, /ct state/, rule);
  }
});

test("destinations go by their own family alone", () => {
  const rules = accepts(renderBridgeRules("q0", POLICY));
  const of = (text: string) => rules.filter((rule) => rule.includes(text));
  assert.ok(of("198.51.100.0/24").every((rule) => rule.startsWith("ip ")));
  assert.ok(of("2001:db8::53/128").every((rule) => rule.startsWith("ip6 ")));
  assert.equal(of("198.51.100.0/24").length, 2);
  assert.equal(of("2001:db8::53/128").length, 2);
});

test("the first segment of a connection is no answer", () => {
  const [listen = ""] = accepts(renderBridgeRules("q0", POLICY)).filter((r) => r.includes("tcp sport 22"));
  assert.match(listen, /tcp flags & \(ack \| rst\) != 0/);
});

test("the platform's DHCP client may ask, and nobody else in the namespace", () => {
  const dhcp = { ...POLICY, dhcpUid: 65_534, ipv4: [] };
  assert.match(renderBridgeRules("q0", dhcp), /ip saddr { 0.0.0.0 } ip daddr 255.255.255.255 udp sport 68/);
  const inside = renderInstrumentRules(dhcp);
  assert.match(inside, /meta skuid 65534 udp sport 68 udp dport 67 counter accept/);
  assert.ok(inside.indexOf("skuid 65534") < inside.indexOf("udp sport 68 counter drop"));
  assert.doesNotMatch(renderBridgeRules("q0", POLICY), /sport 6[78]/);
});
