import assert from "node:assert/strict";
import { test } from "node:test";
import { parseInterfaceCounters, renderRates } from "./interface-counters.ts";

const TEXT = `Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo:     100       2    0    0    0     0          0         0      100       2    0    0    0     0       0          0
 span0: 123456    1000    1    2    0     0          0         0        0       0    0    0    0     0       0          0
bh0123456789abc:       0       0    0    0    0     0          0         0   123456    900    3    4    0     0       0          0
`;

test("counters of each device but loopback", () => {
  assert.deepEqual(parseInterfaceCounters(TEXT), [
    {
      name: "span0",
      rxBytes: 123_456,
      rxPackets: 1_000,
      rxErrors: 1,
      rxDropped: 2,
      txBytes: 0,
      txPackets: 0,
      txErrors: 0,
      txDropped: 0,
    },
    {
      name: "bh0123456789abc",
      rxBytes: 0,
      rxPackets: 0,
      rxErrors: 0,
      rxDropped: 0,
      txBytes: 123_456,
      txPackets: 900,
      txErrors: 3,
      txDropped: 4,
    },
  ]);
  assert.deepEqual(parseInterfaceCounters(""), []);
});

test("rates between two readings; a device made anew is never negative", () => {
  const before = parseInterfaceCounters(TEXT);
  const after = before.map((counters) => ({ ...counters, rxPackets: counters.rxPackets + 50 }));
  assert.equal(renderRates(before, after, 500), "span0 100 packets/s, bh0123456789abc 100 packets/s");
  assert.equal(renderRates(after, before, 500), "span0 0 packets/s, bh0123456789abc 0 packets/s");
  assert.equal(renderRates([], before, 500), "span0 0 packets/s, bh0123456789abc 0 packets/s");
});
