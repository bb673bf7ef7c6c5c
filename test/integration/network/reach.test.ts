/** What a segment's machines and an instrument reach of one another: what the site says, over IPv4 and IPv6, and no more. */
import assert from "node:assert/strict";
import { createServer } from "node:net";
import { networkInterfaces } from "node:os";
import { test } from "node:test";
import { LAN4, LAN6, listen, makeNetworkStand, reach, until } from "./network-stand.ts";
import { askUdp, listenUdp } from "./udp.ts";

const POT4 = "192.0.2.10";
const POT6 = "2001:db8::10";

/** Silence takes its time: what does not depend on one another is tried at once. */
const all = (tries: readonly Promise<string>[]): Promise<readonly string[]> => Promise.all(tries);

test("listen and egress pass, and nothing else does", async (t) => {
  await using stand = await makeNetworkStand();
  const lan = stand.lan.name;
  await stand.connect({
    instrument: "pot",
    listen: ["tcp/2200", "udp/5300", "udp/5310"],
    egress: [`tcp/${LAN4}:4430`, `tcp/[${LAN6}]:4430`],
  });
  const pot = stand.namespace("pot");
  assert.equal(await stand.state("pot"), "connected");
  await using potHeld = new AsyncDisposableStack();
  potHeld.use(await listen(pot, [2200, 2300]));
  await using lanHeld = new AsyncDisposableStack();
  lanHeld.use(await listen(lan, [4430, 4440]));

  await t.test("the segment's machine reaches the listen port alone", async () => {
    // It does listen: silence is the rules' doing.
    const listens = await all([
      reach(pot, "127.0.0.1", 2300),
      reach(lan, POT4, 2200),
      reach(lan, POT6, 2200),
    ]);
    assert.deepEqual(listens, ["open here", "open here", "open here"]);
    assert.deepEqual(await all([reach(lan, POT4, 2300), reach(lan, POT6, 2300)]), ["silent", "silent"]);
  });

  await t.test("the instrument reaches what was declared alone", async () => {
    const listens = await all([
      reach(lan, "127.0.0.1", 4440),
      reach(pot, LAN4, 4430),
      reach(pot, LAN6, 4430),
    ]);
    assert.deepEqual(listens, ["open here", "open here", "open here"]);
    assert.deepEqual(await all([reach(pot, LAN4, 4440), reach(pot, LAN6, 4440)]), ["silent", "silent"]);
  });

  await t.test("a UDP port answers who asked it, and says nothing to others", async () => {
    await using potUdpHeld = new AsyncDisposableStack();
    potUdpHeld.use(await listenUdp(pot, [5300, 5301]));
    await using lanUdpHeld = new AsyncDisposableStack();
    lanUdpHeld.use(await listenUdp(lan, [5400]));
    assert.equal(await askUdp(lan, "127.0.0.1", 5400), "open here");
    for (const [own, other] of [
      [POT4, LAN4],
      [POT6, LAN6],
    ] as const) {
      const asked = await all([
        askUdp(lan, own, 5300),
        askUdp(lan, own, 5301),
        // From its declared ports, of which it listens at one, to a machine that did not ask.
        askUdp(pot, other, 5400, 5310),
      ]);
      assert.deepEqual(asked, ["open here", "silent", "silent"], own);
    }
  });

  await t.test("two instruments on a segment do not reach one another", async () => {
    const address = { addresses: ["192.0.2.11/24", "2001:db8::11/64"], gateways: [] };
    const egress = ["tcp/192.0.2.0/24:2200", "tcp/[2001:db8::/64]:2200"];
    await stand.connect({ instrument: "two", address, egress });
    await using otherHeld = new AsyncDisposableStack();
    otherHeld.use(await listen(lan, [2200]));
    // What it may reach of the segment's machines, it may not of another instrument.
    const two = stand.namespace("two");
    assert.deepEqual(await all([reach(two, LAN4, 2200), reach(two, LAN6, 2200)]), ["open here", "open here"]);
    for (const found of await all([reach(two, POT4, 2200), reach(two, POT6, 2200)]))
      assert.match(found, /silent|EHOSTUNREACH/);
  });

  await t.test("neither reaches a listener of the host", async () => {
    const server = createServer((socket) => socket.end("host"));
    server.listen(0, "0.0.0.0");
    await until("the host listens", async () => server.listening);
    const at = server.address();
    assert.ok(typeof at === "object" && at !== null);
    const hosts = Object.values(networkInterfaces()).flatMap((all) =>
      (all ?? []).flatMap((a) => (a.family === "IPv4" && !a.internal ? [a.address] : [])),
    );
    const tried = [...hosts, "127.0.0.1"].flatMap((host) => [
      reach(pot, host, at.port),
      reach(lan, host, at.port),
    ]);
    for (const found of await all(tried)) assert.match(found, /silent|ENETUNREACH|ECONNREFUSED/);
    server.close();
  });

  await t.test("what was counted and refused is told", async () => {
    const [report] = await stand.network.report(stand.ports);
    const count = (rule: string, direction: string) =>
      report?.counts.find((c) => c.rule === rule && c.direction === direction)?.packets ?? 0;
    assert.ok(count("listen tcp/2200", "in") > 0);
    assert.ok(count(`egress tcp/${LAN4}:4430`, "out") > 0);
    assert.ok(count("refused: not granted", "in") > 0);
    const refused = report?.refused ?? [];
    assert.ok(refused.some((r) => r.direction === "in" && r.to === POT4 && r.port === 2300));
    assert.ok(refused.some((r) => r.direction === "out" && r.to === LAN6 && r.port === 4440));
  });
});
