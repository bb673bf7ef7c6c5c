import assert from "node:assert/strict";
import { test } from "node:test";
import { eventually } from "@bulkhead/testkit";
import { engine, makeStand, spanKey } from "./sensor-stand.ts";
import type { SensorStand } from "./sensor-stand.ts";

test("adding, changing, breaking and removing a tap costs the others no frame", async () => {
  await using stand = await makeStand();
  await stand.addTap("ids");
  const steady = await stand.tool.count(stand.inInstrument("ids"), "mon0");
  const traffic = startTraffic(stand);
  for (let round = 0; round < 3; round += 1) {
    await stand.addTap("pdns", "ether proto 0x88b5");
    await stand.datapath.setMirror({ engine, instrument: "pdns", interface: spanKey, filter: "greater 200" });
    await stand.datapath.setMirror({ engine, instrument: "pdns", interface: spanKey, filter: "" });
    // Its filter is too long, its expression bad: nothing changes for anybody.
    for (const filter of ["no such thing", tooLong()]) {
      await assert.rejects(
        stand.datapath.setMirror({ engine, instrument: "pdns", interface: spanKey, filter }),
      );
    }
    await stand.stopInstrument("pdns");
    await eventually("the wire goes with its instrument", async () => {
      const { taps } = await stand.observe();
      return taps.find(({ instrument }) => instrument === "pdns")?.wire === "none";
    });
    await stand.datapath.disconnectWire({ engine, instrument: "pdns" });
    await stand.datapath.removeMirror({ engine, instrument: "pdns" });
    await stand.datapath.takeSpan(stand.span);
  }
  const sent = await traffic.finish();
  const { count, dropped } = await steady.finish();
  assert.deepEqual({ count, dropped }, { count: sent, dropped: 0 });
  const { taps } = await stand.datapath.counters(stand.known());
  const { seen, matched, notMirrored, received } = taps.find(({ instrument }) => instrument === "ids") ?? {};
  assert.deepEqual(
    { seen, matched, notMirrored, received },
    { seen: sent, matched: sent, notMirrored: 0, received: sent },
  );
});

test("a frozen reader and a wire that is down cost the others no frame", async () => {
  await using stand = await makeStand();
  for (const name of ["ids", "frozen", "down"]) await stand.addTap(name);
  const steady = await stand.tool.count(stand.inInstrument("ids"), "mon0");
  const frozen = await stand.tool.count(stand.inInstrument("frozen"), "mon0");
  frozen.freeze();
  await stand.commands.run([...stand.inInstrument("down"), "ip", "link", "set", "dev", "mon0", "down"]);
  const sent = (await stand.tool.flood(stand.inNetwork, "port0", 4000, 300, 30)).sent;
  frozen.thaw();
  assert.equal((await steady.finish()).count, sent);
  await frozen.finish();
  const { taps } = await stand.datapath.counters(stand.known());
  const of = (name: string) => taps.find(({ instrument }) => instrument === name);
  assert.equal(of("frozen")?.received, sent, "its wire took them; its socket lost them");
  assert.deepEqual([of("down")?.notMirrored, of("down")?.received], [sent, 0]);
});

/** Small bursts until it is finished; returns how many frames were sent. */
function startTraffic(stand: SensorStand): { finish(): Promise<number> } {
  const ending = new AbortController();
  const running = (async () => {
    let sent = 0;
    while (!ending.signal.aborted)
      sent += (await stand.tool.flood(stand.inNetwork, "port0", 1000, 300, 50)).sent;
    return sent;
  })();
  return {
    finish() {
      ending.abort();
      return running;
    },
  };
}

function tooLong(): string {
  return Array.from({ length: 1200 }, (_, n) => `ip[${n % 97}]=${n % 251}`).join("||");
}
