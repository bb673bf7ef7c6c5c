/** Names, tags and hardware addresses. */
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  linkLocalAddress,
  macPrefix,
  parseJoinedTag,
  parseSegmentTag,
  portDeviceName,
  portMac,
  renderJoinedTag,
  renderSegmentTag,
} from "./network-names.ts";

test("a port's MAC address is local, unicast, its own, and begins as all of the installation's do", () => {
  const macs = ["a", "b"].map((instrument) => portMac("machine", "bulkhead", instrument));
  assert.notEqual(macs[0], macs[1]);
  for (const mac of macs) {
    assert.match(mac, /^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/);
    assert.equal(Number.parseInt(mac.slice(0, 2), 16) & 3, 2);
    assert.equal(mac.slice(0, 9), macPrefix("machine", "bulkhead").slice(0, 9));
  }
  assert.notEqual(portMac("other", "bulkhead", "a"), macs[0]);
});

test("the link-local address is that of the MAC address", () => {
  assert.equal(linkLocalAddress("02:aa:bb:cc:dd:ee"), "fe80::aa:bbff:fecc:ddee");
});

test("tags say what they were given, to their own installation alone", () => {
  const joined = { instrument: "pot", kind: "port", policy: "0f", rules: "-" } as const;
  assert.deepEqual(parseJoinedTag("bulkhead", renderJoinedTag("bulkhead", joined)), joined);
  assert.equal(parseJoinedTag("bulkhead-x", renderJoinedTag("bulkhead", joined)), null);
  const segment = { segment: "dmz", device: "eth2", vlan: 20 };
  assert.deepEqual(parseSegmentTag("bulkhead", renderSegmentTag("bulkhead", segment)), segment);
  assert.equal(portDeviceName("bulkhead", "pot").length, 15);
});
