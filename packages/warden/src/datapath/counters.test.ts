import assert from "node:assert/strict";
import { test } from "node:test";
import { tapCounters } from "./counters.ts";
import { parseCookie, renderCookie } from "./mirror-action.ts";

const cookie = { seenBefore: 1000, incarnation: "00ff", expression: "01234567", bytecode: "89abcdef" };
const tap = { engine: "capture", instrument: "ids" };
const action = (packets: number, overlimits: number) => ({
  index: 2 ** 30,
  device: "p0",
  control: "continue",
  packets,
  overlimits,
  users: 1,
  cookie: renderCookie(cookie),
});
const span = (packets: number) => ({ ...action(packets, packets), index: 1 });

test("a cookie is 16 bytes and comes back as it went", () => {
  assert.equal(renderCookie(cookie).length, 32);
  assert.deepEqual(parseCookie(renderCookie(cookie)), cookie);
  assert.equal(parseCookie(""), null);
  assert.equal(parseCookie("00112233"), null);
});

test("every frame that the span saw since the tap began is accounted for", () => {
  const found = tapCounters(tap, action(500, 30), span(1800), { dropped: 10, guarded: 3 }, 2);
  assert.ok(found);
  assert.deepEqual(
    { seen: found.seen, matched: found.matched, notMirrored: found.notMirrored, received: found.received },
    { seen: 800, matched: 500, notMirrored: 20, received: 468 },
  );
  const wireDropped = found.matched - found.notMirrored - found.received;
  assert.equal(wireDropped, 12, "10 that the wire refused and 2 that it lost");
  assert.equal(found.guardDropped, 3);
});

test("a reading in the midst of traffic has no negative figure", () => {
  const found = tapCounters(tap, action(500, 30), span(1400), { dropped: 40, guarded: 0 }, 600);
  assert.ok(found);
  for (const figure of [found.seen - found.matched, found.notMirrored, found.received])
    assert.ok(figure >= 0);
});

test("another incarnation of a tap has another epoch", () => {
  const other = { ...action(1, 0), cookie: renderCookie({ ...cookie, incarnation: "0100" }) };
  const none = { dropped: 0, guarded: 0 };
  assert.notEqual(
    tapCounters(tap, action(1, 0), span(2000), none, 0)?.epoch,
    tapCounters(tap, other, span(2000), none, 0)?.epoch,
  );
});
