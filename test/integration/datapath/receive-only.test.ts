import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { engineNamespace } from "../../../packages/warden/src/datapath/engine-namespace.ts";
import { observeLink } from "../../../packages/warden/src/datapath/namespace.ts";
import { engine, makeStand, spanKey } from "./sensor-stand.ts";
import type { SensorStand } from "./sensor-stand.ts";

test("whatever root of an instrument sends, with every right over its own network, nothing comes out", async () => {
  await using stand = await makeStand();
  await stand.addTap("ids");
  await stand.addTap("pdns");
  const network = await stand.tool.receive(stand.inNetwork, "port0");
  const other = await stand.tool.receive(stand.inInstrument("pdns"), "mon0");
  const before = await links(stand);

  const inside = stand.inInstrument("ids");
  const frames = [
    "ffffffffffff0200000000660806",
    "02000000000202000000006688b5",
    "33330000000202000000006686dd",
  ];
  const hex = frames.map((frame) => frame.padEnd(120, "0"));
  const plain = await stand.tool.send(inside, "mon0", hex);
  const bypass = await stand.tool.send(inside, "mon0", hex, "bypass");
  assert.equal(plain.sent + bypass.sent, 6, "the frames do go onto the wire");
  await provokeKernel(stand);
  const redirected = await sendPastTrafficControl(stand, hex);

  const [atNetwork, atOther] = [await network.finish(), await other.finish()];
  assert.deepEqual(atNetwork.frames, []);
  assert.deepEqual(atOther.frames, []);
  const after = await links(stand);
  assert.equal(after.spanSent, before.spanSent);
  const { taps, spans } = await stand.datapath.counters(stand.known());
  assert.equal(spans[0]?.egressDropped, 0);
  const guardDropped = taps.find(({ instrument }) => instrument === "ids")?.guardDropped ?? 0;
  // Beside ours: what its kernel sent for ARP and IPv6.
  assert.ok(guardDropped >= 6 + redirected + 2, `${guardDropped} dropped by a guard`);
  assert.equal(taps.find(({ instrument }) => instrument === "pdns")?.guardDropped, 0);
  const state = await stand.observe();
  assert.equal(state.spans[0]?.state, "guarded");
  assert.equal(state.taps.find(({ instrument }) => instrument === "pdns")?.wire, "connected");
});

test("each guard alone keeps a frame off the network, and without any it gets there", async () => {
  await using stand = await makeStand();
  await stand.addTap("ids");
  const wire = stand.wireName("ids");
  const inEngine = (...argv: readonly string[]) => stand.commands.run([...stand.inEngine, ...argv]);
  // A way from the wire to the span, which nobody has in earnest: what is behind the guards.
  const all = ["protocol", "all", "bpf", "bytecode", "1,6 0 0 262144"];
  await inEngine("ip", "link", "set", "dev", wire, "up");
  const leak = ["action", "mirred", "egress", "redirect", "dev", spanKey];
  await inEngine("tc", "filter", "add", "dev", wire, "ingress", "prio", "9", ...all, ...leak);

  const layers = {
    xdp: {
      off: () => inEngine("ip", "link", "set", "dev", wire, "xdpdrv", "off"),
    },
    wire: { off: () => inEngine("tc", "filter", "del", "dev", wire, "ingress", "prio", "1") },
    span: { off: () => inEngine("tc", "filter", "del", "dev", spanKey, "egress") },
  };
  const arrivals = async () => {
    const receiver = await stand.tool.receive(stand.inNetwork, "port0");
    await stand.tool.send(
      stand.inInstrument("ids"),
      "mon0",
      Array(5).fill(`02000000000202000000006688b5${"00".repeat(50)}`),
    );
    return (await receiver.finish()).count;
  };
  assert.equal(await arrivals(), 0, "all guards");
  await layers.xdp.off();
  assert.equal(await arrivals(), 0, "without XDP");
  await layers.wire.off();
  assert.equal(await arrivals(), 0, "the span's egress guard alone");
  const [span] = (await stand.datapath.counters(stand.known())).spans;
  assert.equal(span?.egressDropped, 5, "and it counts");
  await layers.span.off();
  assert.equal(await arrivals(), 5, "without any guard: the frames do get out");

  // Healing closes it again. XDP alone, with the leak put back behind it:
  await stand.datapath.connectWire({ engine, instrument: "ids", pid: stand.pids.get("ids") ?? 0 });
  await inEngine("tc", "filter", "del", "dev", wire, "ingress");
  await inEngine("tc", "filter", "add", "dev", wire, "ingress", "prio", "9", ...all, ...leak);
  assert.equal(await arrivals(), 0, "XDP alone");
  await stand.datapath.takeSpan(stand.span);
  await stand.datapath.connectWire({ engine, instrument: "ids", pid: stand.pids.get("ids") ?? 0 });
  const state = await stand.observe();
  assert.equal(state.spans[0]?.state, "guarded");
  assert.equal(state.taps[0]?.wire, "connected");
});

test("root of a container that joined the engine's namespace can read counters and change nothing", async () => {
  await using stand = await makeStand();
  await stand.addTap("ids");
  // As the engine's container is: all capabilities, of a user namespace that does not own this network.
  const joined = [...stand.inEngine, "unshare", "--user", "--map-root-user", "--"];
  const wire = stand.wireName("ids");
  for (const argv of [
    ["ip", "link", "set", "dev", spanKey, "down"],
    ["ip", "link", "set", "dev", wire, "xdpdrv", "off"],
    ["ip", "link", "del", "dev", wire],
    ["tc", "qdisc", "del", "dev", spanKey, "clsact"],
    ["tc", "filter", "del", "dev", spanKey, "egress"],
    ["tc", "qdisc", "del", "dev", wire, "clsact"],
    ["tc", "actions", "flush", "action", "mirred"],
    ["ip", "addr", "add", "192.0.2.1/24", "dev", spanKey],
  ]) {
    await assert.rejects(stand.commands.run([...joined, ...argv]), /Operation not permitted/, argv.join(" "));
  }
  await assert.rejects(stand.tool.receive(joined, spanKey), /did not listen/);
  const counted = await stand.commands.run([...joined, "ip", "-j", "-s", "link", "show", "dev", spanKey]);
  assert.match(counted.stdout, /"rx":/);
  assert.match(
    (await stand.commands.run([...joined, "tc", "-s", "actions", "list", "action", "mirred"])).stdout,
    /pkt/,
  );
  const state = await stand.observe();
  assert.equal(state.spans[0]?.state, "guarded");
  assert.equal(state.taps[0]?.wire, "connected");
});

test("a frame does not come out between the making of a wire and its first use", async () => {
  await using stand = await makeStand();
  const pid = await stand.startInstrument("ids");
  stand.filters.set("ids", "");
  const network = await stand.tool.receive(stand.inNetwork, "port0");
  // Floods as soon as there is anything to send on, until the wire has been made and taken away ten times.
  const stop = new AbortController();
  const flooding = (async () => {
    let sent = 0;
    while (!stop.signal.aborted) {
      const outcome = await stand.tool
        .flood(["nsenter", "-t", String(pid), "-n", "--"], "mon0", 200, 60)
        .catch(() => ({ sent: 0 }));
      sent += outcome.sent;
    }
    return sent;
  })();
  for (let round = 0; round < 10; round += 1) {
    await stand.datapath.connectWire({ engine, instrument: "ids", pid });
    await sleep(20);
    await stand.datapath.disconnectWire({ engine, instrument: "ids" });
  }
  stop.abort();
  assert.ok((await flooding) > 0, "it did send");
  assert.equal((await network.finish()).count, 0);
  assert.equal((await links(stand)).spanSent, 0);
});

async function links(stand: SensorStand): Promise<{ readonly spanSent: number }> {
  const span = await observeLink(engineNamespace(stand.commands, stand.slug, engine), spanKey);
  return { spanSent: span?.stats64.tx.packets ?? -1 };
}

/** Makes the instrument's own kernel speak: ARP and ICMP for an address, duplicate address detection, router solicitations. */
async function provokeKernel(stand: SensorStand): Promise<void> {
  const inside = stand.inInstrument("ids");
  const run = (...argv: readonly string[]) => stand.commands.run([...inside, ...argv]);
  for (const which of ["all", "mon0"]) {
    await stand.commands.run([...inside, "tee", `/proc/sys/net/ipv6/conf/${which}/disable_ipv6`], {
      input: "0",
    });
  }
  await run("ip", "link", "set", "dev", "mon0", "arp", "on", "addrgenmode", "eui64");
  await run("ip", "link", "set", "dev", "mon0", "down");
  await run("ip", "link", "set", "dev", "mon0", "up");
  await run("ip", "addr", "add", "192.0.2.66/24", "dev", "mon0");
  await run("ip", "-6", "addr", "add", "2001:db8::66/64", "dev", "mon0");
  // A datagram to a neighbour: ARP asks for it first.
  await run("bash", "-c", "echo x > /dev/udp/192.0.2.1/9");
  await sleep(1500);
}

/** An instrument with NET_ADMIN passes frames through an ifb of its own: they skip tc and nft at the far end. */
async function sendPastTrafficControl(stand: SensorStand, hex: readonly string[]): Promise<number> {
  const run = (...argv: readonly string[]) => stand.commands.run([...stand.inInstrument("ids"), ...argv]);
  await run("ip", "link", "add", "name", "bypass", "type", "ifb");
  await run("ip", "link", "set", "dev", "bypass", "up");
  await run("tc", "qdisc", "add", "dev", "mon0", "clsact");
  const all = ["protocol", "all", "bpf", "bytecode", "1,6 0 0 262144"];
  const redirect = ["action", "mirred", "egress", "redirect", "dev", "bypass"];
  await run("tc", "filter", "add", "dev", "mon0", "egress", ...all, ...redirect);
  return (await stand.tool.send(stand.inInstrument("ids"), "mon0", hex)).sent;
}
