import assert from "node:assert/strict";
import { test } from "node:test";
import { objectionTo } from "./address.ts";

test("public unicast is allowed, everything else is not", () => {
  for (const address of ["93.184.215.14", "8.8.8.8", "2606:2800:21f:cb07::14", "2a00:1450::1"]) {
    assert.equal(objectionTo(address, []), null, address);
  }
  const refused = [
    ...["10.0.0.1", "172.16.0.1", "192.168.1.1", "100.64.0.1", "127.0.0.1", "0.0.0.0", "255.255.255.255"],
    ...[
      "169.254.169.254",
      "224.0.0.1",
      "240.0.0.1",
      "192.0.2.1",
      "198.18.0.1",
      "198.51.100.1",
      "203.0.113.1",
    ],
    ...[
      "::",
      "::1",
      "fe80::1",
      "fc00::1",
      "fd12::1",
      "ff02::1",
      "::ffff:8.8.8.8",
      "::8.8.8.8",
      "64:ff9b::808:808",
    ],
    ...[
      "64:ff9b:1::1",
      "2002:808:808::1",
      "2001::1",
      "2001:db8::1",
      "fec0::1",
      "100::1",
      "4000::1",
      "fd00:ec2::254",
    ],
    ...["host", "", "1.2.3", "fe80::1%eth0", "010.0.0.1"],
  ];
  for (const address of refused) assert.notEqual(objectionTo(address, []), null, address);
});

test("named exceptions hold for their network and family, and never for loopback or mapped addresses", () => {
  const named = ["10.1.0.0/16", "fd00:1::/64", "127.0.0.0/8", "169.254.169.254/32"];
  for (const address of ["10.1.2.3", "fd00:1::9", "169.254.169.254"])
    assert.equal(objectionTo(address, named), null);
  for (const address of ["10.2.0.1", "fd00:2::1", "127.0.0.1", "::ffff:10.1.2.3", "169.254.169.253"]) {
    assert.notEqual(objectionTo(address, named), null, address);
  }
});
