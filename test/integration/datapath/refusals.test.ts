import assert from "node:assert/strict";
import { test } from "node:test";
import { kernelDatapath } from "../../../packages/warden/src/datapath/datapath.ts";
import { NamespaceCensus } from "../../../packages/warden/src/datapath/namespace-census.ts";
import { engineNamespace } from "../../../packages/warden/src/datapath/engine-namespace.ts";
import { compileFilter, maxInstructions } from "../../../packages/warden/src/datapath/filter.ts";
import { engine, makeStand, spanKey } from "./sensor-stand.ts";
import type { SensorStand } from "./sensor-stand.ts";

const nobody = 65_534;

test("a bad expression and one too long for the kernel are refused, and nothing changes", async () => {
  await using stand = await makeStand();
  await stand.addTap("ids", "ip");
  await stand.startInstrument("pdns");
  await stand.datapath.connectWire({ engine, instrument: "pdns", pid: stand.pids.get("pdns") ?? 0 });
  const before = await rulesOf(stand);
  const cases = [
    { filter: "frobnicate", code: "datapath-filter-invalid", message: /syntax error/ },
    { filter: "port 99999999", code: "datapath-filter-invalid", message: /illegal port/ },
    { filter: "host no-such-name.example", code: "datapath-filter-invalid", message: /unknown host/ },
    { filter: "-w /tmp/x", code: "datapath-filter-invalid", message: /syntax error/ },
    { filter: "tcp and udp", code: "datapath-filter-invalid", message: /rejects all packets/ },
    { filter: bytes(1200), code: "datapath-filter-too-long", message: /at most 2000/ },
    { filter: `ip or ${" ".repeat(20_000)} arp`, code: "datapath-filter-too-long", message: /bytes/ },
  ];
  for (const instrument of ["ids", "pdns"]) {
    for (const { filter, code, message } of cases) {
      const setting = stand.datapath.setMirror({ engine, instrument, interface: spanKey, filter });
      await assert.rejects(setting, { code, message }, `${instrument}: ${filter.slice(0, 40)}`);
    }
  }
  assert.equal(await rulesOf(stand), before);
});

test("a filter as long as is allowed is one that tc and kernel take", async () => {
  await using stand = await makeStand();
  await stand.addTap("ids");
  const namespace = engineNamespace(stand.commands, stand.slug, engine);
  const fits = async (count: number) =>
    compileFilter(namespace, bytes(count), nobody).then(
      (bytecode) => Number(bytecode.split(",")[0]),
      () => null,
    );
  let [low, high] = [1, 1200];
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if ((await fits(middle)) === null) high = middle;
    else low = middle;
  }
  const instructions = await fits(low);
  assert.ok(instructions !== null && instructions > maxInstructions - 20, String(instructions));
  const filter = bytes(low);
  stand.filters.set("ids", filter);
  await stand.datapath.setMirror({ engine, instrument: "ids", interface: spanKey, filter });
  assert.equal((await stand.observe()).taps[0]?.filter, filter);
});

test("compiled against lo is compiled against the span", async () => {
  await using stand = await makeStand();
  const namespace = engineNamespace(stand.commands, stand.slug, engine);
  for (const expression of [
    "vlan 5 and tcp port 80",
    "not port 22",
    "ip6 and udp",
    "ether multicast",
    "vlan",
    "pppoes",
  ]) {
    const { stdout } = await namespace.run(["tcpdump", "-ddd", "-i", spanKey, "--", expression]);
    const live = stdout.trim().split("\n").join(",");
    assert.equal(await compileFilter(namespace, expression, nobody), live, expression);
  }
});

test("an expression is checked as nobody, without a right and without a network", async () => {
  await using stand = await makeStand();
  const ran: (readonly string[])[] = [];
  const datapath = kernelDatapath({
    slug: stand.slug,
    census: new NamespaceCensus(stand.commands),
    commands: {
      run: (argv, options) => {
        ran.push(argv);
        return stand.commands.run(argv, options);
      },
    },
  });
  assert.equal((await datapath.checkFilter("vlan and not port 22")).outcome, "accepted");
  assert.deepEqual(await datapath.checkFilter(""), { outcome: "accepted", instructions: 1 });
  assert.equal((await datapath.checkFilter("frobnicate")).outcome, "refused");
  assert.equal((await datapath.checkFilter("-w /tmp/x")).outcome, "refused");
  // A name would be asked of a resolver; there is no way to one.
  assert.equal((await datapath.checkFilter("host www.example.com")).outcome, "refused");
  assert.ok(ran.length > 0);
  for (const argv of ran) {
    assert.deepEqual(argv.slice(0, 3), ["unshare", "--net", "--"]);
    assert.ok(argv.includes(`--reuid=${nobody}`) && argv.includes("--bounding-set=-all"), argv.join(" "));
  }
});

test("a device that somebody needs is not taken", async (t) => {
  await using stand = await makeStand();
  await using second = await makeStand();
  const run = (argv: readonly string[]) => stand.commands.run(argv);
  await t.test("held by another installation", async () => {
    await assert.rejects(
      second.datapath.takeSpan({ ...second.span, interface: "span1", device: stand.device }),
      {
        code: "datapath-span-claimed",
        message: new RegExp(`${engine} of ${stand.slug}`),
      },
    );
  });
  await t.test("absent", async () => {
    const absent = { ...stand.span, interface: "span1", device: "bhnone0" };
    await assert.rejects(stand.datapath.takeSpan(absent), { code: "datapath-span-absent" });
  });
  await t.test("another device under the same key", async () => {
    const other = { ...stand.span, device: second.device };
    await assert.rejects(stand.datapath.takeSpan(other), { code: "datapath-span-occupied" });
  });
  await second.datapath.releaseSpan(second.span);
  await t.test("with an address", async () => {
    await run(["ip", "addr", "add", "192.0.2.77/24", "dev", second.device]);
    await assert.rejects(second.datapath.takeSpan(second.span), {
      code: "datapath-span-in-use",
      message: /192\.0\.2\.77/,
    });
    await run(["ip", "addr", "del", "192.0.2.77/24", "dev", second.device]);
  });
  await t.test("the loopback", async () => {
    const lo = { ...second.span, device: "lo" };
    await assert.rejects(second.datapath.takeSpan(lo), { code: "datapath-span-in-use" });
  });
  await t.test("and then it is", async () => {
    await second.datapath.takeSpan(second.span);
    assert.equal((await second.observe()).spans[0]?.state, "guarded");
  });
});

test("a namespace that is not ours is left alone", async () => {
  await using stand = await makeStand();
  const name = `${stand.slug}-other`;
  await stand.commands.run(["ip", "netns", "add", name]);
  try {
    await stand.commands.run(["ip", "-n", name, "link", "set", "lo", "up"]);
    await assert.rejects(stand.datapath.createEngine("other"), { code: "datapath-namespace-foreign" });
    await stand.datapath.removeEngine("other");
    assert.match((await stand.commands.run(["ip", "netns", "list"])).stdout, new RegExp(name));
    assert.deepEqual((await stand.observe()).engines, [engine]);
  } finally {
    await stand.commands.run(["ip", "netns", "del", name]);
  }
});

test("a wire goes neither into the host's namespace nor into the engine's", async () => {
  await using stand = await makeStand();
  const connect = (pid: number) => stand.datapath.connectWire({ engine, instrument: "ids", pid });
  await assert.rejects(connect(process.pid), { code: "datapath-instrument-shares-network" });
  await assert.rejects(connect(2 ** 30), { code: "datapath-instrument-gone" });
  await assert.rejects(connect(0), { code: "datapath-instrument-gone" });
  assert.deepEqual((await stand.observe()).taps, []);
});

/** About 1.9 instructions a term, and quick to compile: libpcap's optimizer is slow with long lists of hosts. */
function bytes(terms: number): string {
  return Array.from({ length: terms }, (_, n) => `ip[${n % 97}]=${n % 251}`).join("||");
}

/** All that the kernel runs for the engine, without counts and ages. */
async function rulesOf(stand: SensorStand): Promise<string> {
  const ran = [];
  for (const argv of [
    ["tc", "filter", "show", "dev", spanKey, "ingress"],
    ["tc", "filter", "show", "dev", spanKey, "egress"],
    ["tc", "actions", "list", "action", "mirred"],
    ["ip", "-d", "link", "show"],
  ]) {
    ran.push((await stand.commands.run([...stand.inEngine, ...argv])).stdout);
  }
  return ran.join("\n").replaceAll(/installed \d+ sec.*$/gm, "");
}
