/** Addresses, destinations and ports as a site says them. */
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  isAskedDestination,
  isAskedListen,
  parseDestination,
  parseInterfaceAddress,
  parseListenPort,
} from "./addressing.ts";

test("destinations have a protocol, an address or network, and ports", () => {
  assert.deepEqual(parseDestination("udp/[2001:DB8::/32]:53-54"), {
    protocol: "udp",
    to: { family: "ipv6", address: "2001:db8::", prefix: 32 },
    ports: { first: 53, last: 54 },
  });
  assert.equal(parseDestination("tcp/192.0.2.10:443")?.to.prefix, 32);
  const refused = [
    "tcp/*:443",
    "tcp/host.example:443",
    "tcp/192.0.2.10:*",
    "tcp/192.0.2.10",
    "tcp/0.0.0.0/0:443",
    "tcp/[::/0]:443",
    "tcp/192.0.2.1/24:443",
    "tcp/2001:db8::1:443",
    "tcp/[192.0.2.1]:443",
    "tcp/[::ffff:192.0.2.1]:443",
    "tcp/[fe80::1%eth0]:443",
    "icmp/192.0.2.1:1",
    "tcp/192.0.2.1:0",
    "tcp/192.0.2.1:65536",
    "tcp/192.0.2.1:20-10",
    "tcp/192.0.2.010:80",
  ];
  for (const text of refused) assert.equal(parseDestination(text), null, text);
});

test("a device has a unicast address with a prefix length", () => {
  assert.equal(parseInterfaceAddress("2001:db8::10/64")?.address, "2001:db8::10");
  for (const text of [
    "192.0.2.10",
    "192.0.2.10/0",
    "192.0.2.10/33",
    "224.0.0.1/4",
    "fe80::1/64",
    "127.0.0.1/8",
  ])
    assert.equal(parseInterfaceAddress(text), null, text);
});

test("a grant lies within what was asked", () => {
  const asked = (text: string, asks: readonly string[]) => {
    const destination = parseDestination(text);
    assert.ok(destination !== null, text);
    return isAskedDestination(destination, asks);
  };
  assert.equal(asked("tcp/192.0.2.9:443", ["tcp/443"]), true);
  assert.equal(asked("udp/192.0.2.9:443", ["tcp/443"]), false);
  assert.equal(asked("tcp/192.0.2.9:440-443", ["tcp/443"]), false);
  assert.equal(asked("tcp/192.0.2.0/25:443", ["tcp/192.0.2.0/24:400-500"]), true);
  assert.equal(asked("tcp/192.0.0.0/16:443", ["tcp/192.0.2.0/24:400-500"]), false);
  assert.equal(asked("tcp/[2001:db8::1]:443", ["tcp/192.0.2.0/24:443"]), false);
  const port = parseListenPort("tcp/22");
  assert.ok(port !== null);
  assert.equal(isAskedListen(port, ["tcp/1-1024"]), true);
  assert.equal(isAskedListen(port, ["udp/22"]), false);
});
