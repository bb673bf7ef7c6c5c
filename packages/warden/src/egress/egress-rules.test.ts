import assert from "node:assert/strict";
import { test } from "node:test";
import { renderEgressRules } from "./egress-rules.ts";

const rules = { uid: 990, dhcpUid: null, dns: ["192.0.2.53"], private: [], ports: [443, 80] };

test("everything is dropped but answers, the proxy's questions, and its connections to listed ports in public", () => {
  const text = renderEgressRules(rules);
  assert.equal(text.match(/policy drop;/g)?.length, 3);
  const output = text.slice(text.indexOf("chain output"));
  const at = (words: string): number => {
    assert.ok(output.includes(words), words);
    return output.indexOf(words);
  };
  assert.ok(at("meta skuid != 990 counter drop") < at("ip daddr { 192.0.2.53 } udp dport 53"));
  assert.ok(at("169.254.0.0/16") < at("meta nfproto ipv4 tcp dport { 443, 80 } counter accept"));
  assert.ok(!text.includes("named_") && !text.includes("udp dport 67"));
});

test("named networks come before the special ones are dropped, for listed ports alone; a lease may be renewed", () => {
  const text = renderEgressRules({ ...rules, private: ["10.1.0.0/16", "fd00::/64"], dhcpUid: 65_534 });
  assert.ok(text.indexOf("@named_ipv4 tcp dport { 443, 80 }") < text.indexOf("10.0.0.0/8"));
  assert.match(
    text,
    /set named_ipv6 \{\ntype ipv6_addr; flags interval; auto-merge;\nelements = \{ fd00::\/64 \}/,
  );
  assert.match(text, /meta skuid 65534 udp sport 68 udp dport 67 accept/);
});

test("without a port nothing goes out", () => {
  assert.doesNotMatch(renderEgressRules({ ...rules, ports: [], dns: [] }), /counter accept/);
});
