import assert from "node:assert/strict";
import { test } from "node:test";
import { internetChecksum, oddFrames } from "./odd-frames.ts";
import { makeStand } from "./sensor-stand.ts";

test("every frame arrives at every tap byte-identical and in order", async () => {
  await using stand = await makeStand();
  await stand.addTap("ids");
  await stand.addTap("pdns");
  const frames = oddFrames();
  const receivers = [];
  for (const name of ["ids", "pdns"]) {
    receivers.push(await stand.tool.receive(stand.inInstrument(name), "mon0"));
  }
  // Twice, so that order is held over more than one of each.
  const sent = [...frames, ...frames.toReversed()];
  const outcome = await stand.tool.send(
    stand.inNetwork,
    "port0",
    sent.map(({ hex }) => hex),
  );
  assert.deepEqual(outcome, { sent: sent.length, failed: 0 });
  for (const receiver of receivers) {
    const { frames: arrived, dropped } = await receiver.finish();
    assert.equal(dropped, 0);
    for (const [index, { what, hex }] of sent.entries()) assert.equal(arrived[index], hex, what);
    assert.equal(arrived.length, sent.length);
  }
});

test("a filter picks its frames, tags included, and leaves the others", async () => {
  await using stand = await makeStand();
  const frames = oddFrames();
  const expressions = {
    tagged: "vlan 42",
    large: "greater 4000",
    fragments: "ip[6:2] & 0x3fff != 0",
    six: "ip6",
  };
  const picks: Readonly<Record<string, (what: string) => boolean>> = {
    tagged: (what) => what === "VLAN",
    large: (what) =>
      ["4096", "4110", "8000", "9000"].some((size) => what === `${size} bytes`) || what === "VLAN, jumbo",
    six: (what) => what.startsWith("IPv6"),
  };
  const receivers = new Map();
  for (const [name, filter] of Object.entries(expressions)) {
    await stand.addTap(name, filter);
    receivers.set(name, await stand.tool.receive(stand.inInstrument(name), "mon0"));
  }
  await stand.tool.send(
    stand.inNetwork,
    "port0",
    frames.map(({ hex }) => hex),
  );
  const nameOf = new Map(frames.map(({ what, hex }) => [hex, what]));
  for (const [name, receiver] of receivers) {
    const arrived = (await receiver.finish()).frames.map((hex: string) => nameOf.get(hex));
    const pick = picks[name];
    if (pick) assert.deepEqual(arrived, frames.map(({ what }) => what).filter(pick), name);
    else
      for (const what of ["first fragment", "last fragment", "overlapping fragment"])
        assert.ok(arrived.includes(what));
  }
});

test("of a sender that leaves segmentation to its NIC, whole frames with right checksums arrive", async () => {
  await using stand = await makeStand();
  await stand.addTap("ids");
  const bursts = 40;
  const receiver = await stand.tool.receive(stand.inInstrument("ids"), "mon0");
  assert.equal((await stand.tool.sendGso(stand.inNetwork, "port0", bursts)).sent, bursts);
  const { frames } = await receiver.finish();
  assert.equal(frames.length, bursts * 8, "8 segments each");
  assert.deepEqual(faultsOf(frames), { oversized: 0, badChecksum: 0 });

  // The same with the wire's offloads as they were: the fault is there, so this test can see it.
  const offloads = ["tx", "on", "gso", "on", "tso", "on"];
  await stand.commands.run([...stand.inEngine, "ethtool", "-K", stand.wireName("ids"), ...offloads]);
  const without = await stand.tool.receive(stand.inInstrument("ids"), "mon0");
  await stand.tool.sendGso(stand.inNetwork, "port0", bursts);
  const faults = faultsOf((await without.finish()).frames);
  assert.ok(faults.oversized > 0 && faults.badChecksum > 0, JSON.stringify(faults));
});

/** Frames over 1514 bytes, and TCP checksums that do not come out. */
function faultsOf(frames: readonly string[]): { readonly oversized: number; readonly badChecksum: number } {
  const bytes = frames.map((hex) => Buffer.from(hex, "hex"));
  return {
    oversized: bytes.filter((frame) => frame.length > 1514).length,
    badChecksum: bytes.filter((frame) => {
      const pseudoHeader = Buffer.concat([frame.subarray(26, 34), Buffer.from([0, 6, 0, 0])]);
      pseudoHeader.writeUInt16BE(frame.length - 34, 10);
      return internetChecksum(Buffer.concat([pseudoHeader, frame.subarray(34)])) !== 0;
    }).length,
  };
}
