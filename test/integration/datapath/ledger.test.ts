import assert from "node:assert/strict";
import { test } from "node:test";
import { engine, makeStand, spanKey } from "./sensor-stand.ts";
import type { SensorStand } from "./sensor-stand.ts";

test("each kind of loss is counted as what it is, and the sums come out", async () => {
  await using stand = await makeStand();
  // What the span sees before a tap is made is not the tap's.
  await stand.tool.flood(stand.inNetwork, "port0", 500, 100);
  await stand.addTap("ids", "less 1500 or greater 16000");
  await stand.commands.run([...stand.inEngine, "ip", "link", "set", "dev", spanKey, "mtu", "17000"]);
  await stand.commands.run(["ip", "-n", stand.network, "link", "set", "port0", "mtu", "17000"]);

  await stand.tool.flood(stand.inNetwork, "port0", 100, 300);
  assert.deepEqual(await ledgerOf(stand), row({ seen: 100, received: 100 }));

  await stand.tool.flood(stand.inNetwork, "port0", 40, 2000);
  assert.deepEqual(await ledgerOf(stand), row({ seen: 140, filtered: 40, received: 100 }));

  // Larger than the wire's MTU: the wire drops it.
  await stand.tool.flood(stand.inNetwork, "port0", 9, 16_900);
  assert.deepEqual(await ledgerOf(stand), row({ seen: 149, filtered: 40, wireDropped: 9, received: 100 }));

  await stand.commands.run([...stand.inInstrument("ids"), "ip", "link", "set", "dev", "mon0", "down"]);
  await stand.tool.flood(stand.inNetwork, "port0", 21, 300);
  const down = row({ seen: 170, filtered: 40, notMirrored: 21, wireDropped: 9, received: 100 });
  assert.deepEqual(await ledgerOf(stand), down);

  // The wire is made anew, the filter is changed: nothing is counted twice, nothing goes back.
  await stand.datapath.disconnectWire({ engine, instrument: "ids" });
  assert.deepEqual(await ledgerOf(stand), down);
  await stand.datapath.connectWire({ engine, instrument: "ids", pid: stand.pids.get("ids") ?? 0 });
  await stand.datapath.setMirror({ engine, instrument: "ids", interface: spanKey, filter: "greater 1500" });
  assert.deepEqual(await ledgerOf(stand), down);

  await stand.tool.flood(stand.inNetwork, "port0", 30, 300);
  await stand.tool.flood(stand.inNetwork, "port0", 5, 2000);
  assert.deepEqual(
    await ledgerOf(stand),
    row({ seen: 205, filtered: 70, notMirrored: 21, wireDropped: 9, received: 105 }),
  );
});

test("a tap that is made again begins anew, under another epoch, also on the wire it had", async () => {
  await using stand = await makeStand();
  await stand.addTap("ids", "greater 16000");
  await stand.commands.run([...stand.inEngine, "ip", "link", "set", "dev", spanKey, "mtu", "17000"]);
  await stand.commands.run(["ip", "-n", stand.network, "link", "set", "port0", "mtu", "17000"]);
  await stand.tool.flood(stand.inNetwork, "port0", 9, 16_900);
  await stand.tool.send(stand.inInstrument("ids"), "mon0", [
    `02000000000202000000006688b5${"00".repeat(50)}`,
  ]);
  const [before] = (await stand.datapath.counters(stand.known())).taps;
  assert.deepEqual([before?.seen, before?.guardDropped], [9, 1]);
  await stand.datapath.removeMirror({ engine, instrument: "ids" });
  assert.deepEqual((await stand.datapath.counters(stand.known())).taps, []);
  await stand.datapath.setMirror({ engine, instrument: "ids", interface: spanKey, filter: "" });
  assert.deepEqual(await ledgerOf(stand), row({ seen: 0 }));
  await stand.tool.flood(stand.inNetwork, "port0", 3, 16_900);
  assert.deepEqual(await ledgerOf(stand), row({ seen: 3, wireDropped: 3 }));
  const [after] = (await stand.datapath.counters(stand.known())).taps;
  assert.notEqual(after?.epoch, before?.epoch);
  assert.equal(after?.guardDropped, 0);
});

test("the span's own figures agree with what was sent", async () => {
  await using stand = await makeStand();
  await stand.addTap("ids");
  await stand.tool.flood(stand.inNetwork, "port0", 77, 300);
  // From the engine's namespace, as the host's root: the guard drops it and says so.
  await stand.tool.flood(stand.inEngine, spanKey, 4, 300);
  const { spans } = await stand.datapath.counters(stand.known());
  assert.deepEqual(spans, [
    { ...stand.span, received: 77, dropped: 0, missed: 0, errors: 0, seen: 77, egressDropped: 4 },
  ]);
});

interface Row {
  readonly seen: number;
  readonly filtered: number;
  readonly notMirrored: number;
  readonly wireDropped: number;
  readonly received: number;
}

function row(of: Partial<Row>): Row {
  const all = { seen: 0, filtered: 0, notMirrored: 0, wireDropped: 0, received: 0, ...of };
  assert.equal(
    all.seen,
    all.filtered + all.notMirrored + all.wireDropped + all.received,
    "the expectation itself",
  );
  return all;
}

/** By the equations of packages/schema/src/ledger.ts. */
async function ledgerOf(stand: SensorStand): Promise<Row> {
  const [tap] = (await stand.datapath.counters(stand.known())).taps;
  assert.ok(tap);
  const { seen, matched, notMirrored, received } = tap;
  return {
    seen,
    filtered: seen - matched,
    notMirrored,
    wireDropped: matched - notMirrored - received,
    received,
  };
}
