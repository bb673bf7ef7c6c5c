import assert from "node:assert/strict";
import { test } from "node:test";
import { eventually } from "@bulkhead/testkit";
import { engine, makeStand, spanKey } from "./sensor-stand.ts";
import type { SensorStand } from "./sensor-stand.ts";

const ids = { engine, instrument: "ids" };

test("what is taken away by hand is seen and put back", async (t) => {
  await using stand = await makeStand();
  await stand.addTap("ids", "ether proto 0x88b5");
  const wire = stand.wireName("ids");
  const inEngine = (...argv: readonly string[]) => stand.commands.run([...stand.inEngine, ...argv]);
  const inside = (...argv: readonly string[]) => stand.commands.run([...stand.inInstrument("ids"), ...argv]);
  const all = ["protocol", "all", "bpf", "bytecode", "1,6 0 0 262144"];
  const whole = { span: "guarded", wire: "connected", filter: "ether proto 0x88b5" };
  assert.deepEqual(await stateOf(stand), whole);

  const damages: Readonly<Record<string, { do(): Promise<unknown>; seen: Partial<typeof whole> | object }>> =
    {
      "the wire, from the host": {
        do: () => inEngine("ip", "link", "del", wire),
        seen: { wire: "none", filter: null },
      },
      "the wire, by the instrument": {
        do: () => inside("ip", "link", "del", "mon0"),
        seen: { wire: "none", filter: null },
      },
      "the wire's XDP": {
        do: () => inEngine("ip", "link", "set", "dev", wire, "xdpdrv", "off"),
        seen: { wire: "broken" },
      },
      "the wire's clsact": {
        do: () => inEngine("tc", "qdisc", "del", "dev", wire, "clsact"),
        seen: { wire: "broken" },
      },
      "the wire, set down": {
        do: () => inEngine("ip", "link", "set", "dev", wire, "down"),
        seen: { wire: "broken" },
      },
      "the wire, made smaller": {
        do: () => inEngine("ip", "link", "set", "dev", wire, "mtu", "1000"),
        seen: { wire: "broken" },
      },
      "the instrument's end, made smaller": {
        do: () => inside("ip", "link", "set", "dev", "mon0", "mtu", "1000"),
        seen: { wire: "broken" },
      },
      "the instrument's end, set down": {
        do: () => inside("ip", "link", "set", "dev", "mon0", "down"),
        seen: { wire: "broken" },
      },
      "the tap's filter": {
        do: () => inEngine("tc", "filter", "del", "dev", spanKey, "ingress", "prio", "100"),
        seen: { filter: null },
      },
      "the tap's filter, exchanged": {
        do: async () => {
          const { stdout } = await inEngine("tc", "filter", "show", "dev", spanKey, "ingress", "prio", "100");
          const handle = /handle (0x[0-9a-f]+)/.exec(stdout)?.[1] ?? "";
          const index = String(Number(handle));
          const place = ["dev", spanKey, "ingress", "prio", "100", "handle", handle];
          await inEngine("tc", "filter", "replace", ...place, ...all, "action", "mirred", "index", index);
        },
        seen: { filter: null },
      },
      "the span's clsact": {
        do: () => inEngine("tc", "qdisc", "del", "dev", spanKey, "clsact"),
        seen: { span: "unguarded", filter: null },
      },
      "the span's egress guard": {
        do: () => inEngine("tc", "filter", "del", "dev", spanKey, "egress", "prio", "1"),
        seen: { span: "unguarded" },
      },
      "a filter that somebody added": {
        do: () =>
          inEngine(
            "tc",
            "filter",
            "add",
            "dev",
            spanKey,
            "ingress",
            "prio",
            "7",
            ...all,
            "action",
            "mirred",
            "index",
            "1",
          ),
        seen: { span: "unguarded" },
      },
      "the span, set down": {
        do: () => inEngine("ip", "link", "set", "dev", spanKey, "down"),
        seen: { span: "unguarded" },
      },
    };
  for (const [what, damage] of Object.entries(damages)) {
    await t.test(what, async () => {
      await damage.do();
      assert.deepEqual(await stateOf(stand), { ...whole, ...damage.seen });
      await heal(stand);
      assert.deepEqual(await stateOf(stand), whole);
      const receiver = await stand.tool.count(stand.inInstrument("ids"), "mon0");
      await stand.tool.flood(stand.inNetwork, "port0", 20, 100);
      assert.equal((await receiver.finish()).count, 20);
      // Again, without need: it changes nothing.
      await heal(stand);
      assert.deepEqual(await stateOf(stand), whole);
    });
  }
});

test("a restarted instrument gets a new wire, and its counts go on", async () => {
  await using stand = await makeStand();
  await stand.addTap("ids");
  await stand.tool.flood(stand.inNetwork, "port0", 30, 100);
  await stand.tool.send(stand.inInstrument("ids"), "mon0", [
    `02000000000202000000006688b5${"00".repeat(50)}`,
  ]);
  await stand.datapath.counters(stand.known());
  await stand.stopInstrument("ids");
  await eventually("the wire goes with its instrument", async () => (await stateOf(stand)).wire === "none");
  assert.equal((await stateOf(stand)).filter, null, "copies go nowhere");
  await stand.tool.flood(stand.inNetwork, "port0", 7, 100);
  const pid = await stand.startInstrument("ids");
  await stand.datapath.connectWire({ ...ids, pid });
  assert.equal((await stateOf(stand)).filter, "", "the mirror goes on onto the new wire");
  await stand.tool.flood(stand.inNetwork, "port0", 5, 100);
  const [tap] = (await stand.datapath.counters(stand.known())).taps;
  const { epoch: _, instrument: __, engine: ___, ...counts } = tap ?? {};
  assert.deepEqual(counts, { seen: 42, matched: 42, notMirrored: 7, received: 35, guardDropped: 1 });
});

test("an instrument that ended just now is a broken or missing wire, not a failure", async () => {
  await using stand = await makeStand();
  await stand.addTap("ids");
  await stand.addTap("shares");
  const stale = new Map([...stand.pids, ["shares", process.pid]]);
  await stand.stopInstrument("ids");
  const known = { ...stand.known(), pids: stale };
  const { taps } = await stand.observe(known);
  for (const tap of taps) assert.notEqual(tap.wire, "connected", tap.instrument);
  assert.equal((await stand.datapath.counters(known)).taps.length, 2);
});

test("a span device that goes away and comes back is taken again, and counts go on", async () => {
  await using stand = await makeStand();
  await stand.addTap("ids", "ether proto 0x88b5");
  await stand.tool.flood(stand.inNetwork, "port0", 11, 100);
  await stand.commands.run([...stand.inEngine, "ip", "link", "del", spanKey]);
  assert.deepEqual(await stateOf(stand), { span: "none", wire: "connected", filter: null });
  await assert.rejects(stand.datapath.takeSpan(stand.span), { code: "datapath-span-absent" });
  await assert.rejects(setMirror(stand), { code: "datapath-span-absent" });
  await stand.plugSpan();
  await heal(stand);
  assert.deepEqual(await stateOf(stand), {
    span: "guarded",
    wire: "connected",
    filter: "ether proto 0x88b5",
  });
  await stand.tool.flood(stand.inNetwork, "port0", 12, 100);
  const [tap] = (await stand.datapath.counters(stand.known())).taps;
  assert.deepEqual([tap?.seen, tap?.received], [23, 23]);
});

test("a span is given back as it was", async () => {
  await using stand = await makeStand();
  await stand.datapath.releaseSpan(stand.span);
  await stand.datapath.releaseSpan(stand.span);
  const before = await describeDevice(stand);
  assert.match(before, /mtu 1500/);
  assert.match(before, /state DOWN/);
  assert.doesNotMatch(before, /NOARP|PROMISC|UP>|alias|clsact/);
  const features = (await stand.commands.run(["ethtool", "-k", stand.device])).stdout;
  await stand.datapath.takeSpan(stand.span);
  await stand.addTap("ids");
  await stand.datapath.removeEngine(engine);
  await stand.datapath.removeEngine(engine);
  assert.equal(await describeDevice(stand), before);
  assert.equal((await stand.commands.run(["ethtool", "-k", stand.device])).stdout, features);
  const { engines, spans, taps, devices } = await stand.observe();
  assert.deepEqual({ engines, spans, taps }, { engines: [], spans: [], taps: [] });
  assert.ok(devices.includes(stand.device));
});

test("a mirror whose instrument is forgotten can be removed", async () => {
  await using stand = await makeStand();
  await stand.addTap("ids");
  await stand.addTap("gone");
  await stand.stopInstrument("gone");
  stand.filters.delete("gone");
  await eventually("the wire goes with its instrument", async () => {
    const { taps } = await stand.observe();
    return !taps.some(({ instrument }) => instrument === "gone");
  });
  const { taps } = await stand.observe();
  const [stray] = taps.filter(({ instrument }) => instrument !== "ids");
  assert.match(stray?.instrument ?? "", /^stray-[0-9a-f]{8}$/);
  assert.deepEqual([taps.length, stray?.wire, stray?.filter], [2, "none", null]);
  await stand.datapath.removeMirror({ engine, instrument: stray?.instrument ?? "" });
  assert.equal((await stand.observe()).taps.length, 1);
  const { stdout } = await stand.commands.run([
    ...stand.inEngine,
    "tc",
    "filter",
    "show",
    "dev",
    spanKey,
    "ingress",
    "prio",
    "100",
  ]);
  assert.equal(stdout.match(/handle/g)?.length, 1);
  assert.equal((await stateOf(stand)).filter, "");
});

interface Seen {
  readonly span: string;
  readonly wire: string;
  readonly filter: string | null;
}

async function stateOf(stand: SensorStand): Promise<Seen> {
  const { spans, taps } = await stand.observe();
  const tap = taps.find(({ instrument }) => instrument === "ids");
  return { span: spans[0]?.state ?? "none", wire: tap?.wire ?? "none", filter: tap?.filter ?? null };
}

async function heal(stand: SensorStand): Promise<void> {
  await stand.datapath.createEngine(engine);
  await stand.datapath.takeSpan(stand.span);
  await stand.datapath.connectWire({ ...ids, pid: stand.pids.get("ids") ?? 0 });
  await setMirror(stand);
}

async function setMirror(stand: SensorStand): Promise<void> {
  await stand.datapath.setMirror({ ...ids, interface: spanKey, filter: stand.filters.get("ids") ?? "" });
}

/** Everything about the device but what is another each time: index and address. */
async function describeDevice(stand: SensorStand): Promise<string> {
  const link = await stand.commands.run(["ip", "-d", "link", "show", "dev", stand.device]);
  const qdisc = await stand.commands.run(["tc", "qdisc", "show", "dev", stand.device]);
  return `${link.stdout.replace(/^\d+: /, "")}${qdisc.stdout}`;
}
