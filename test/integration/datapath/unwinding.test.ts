import assert from "node:assert/strict";
import { test } from "node:test";
import type { Commands } from "../../../packages/warden/src/commands.ts";
import { NamespaceCensus } from "../../../packages/warden/src/datapath/namespace-census.ts";
import { kernelDatapath } from "../../../packages/warden/src/datapath/datapath.ts";
import type { Datapath } from "../../../packages/warden/src/datapath/datapath.ts";
import { WardenError } from "../../../packages/warden/src/error.ts";
import { engine, makeStand, spanKey } from "./sensor-stand.ts";
import type { SensorStand } from "./sensor-stand.ts";

test("a span whose taking fails at any command is on the host again, as it was", async () => {
  await using stand = await makeStand();
  await stand.datapath.releaseSpan(stand.span);
  const before = await deviceOf(stand);
  const failures = await failEach(
    stand,
    async (datapath) => {
      await datapath.takeSpan(stand.span);
    },
    async () => {
      assert.equal(await deviceOf(stand), before);
      assert.deepEqual((await stand.observe()).spans, []);
    },
    // A driver that refuses a larger MTU is put up with.
    () => stand.datapath.releaseSpan(stand.span),
  );
  assert.ok(failures > 8, String(failures));
  assert.equal((await stand.observe()).spans[0]?.state, "guarded");
});

test("a wire whose making fails at any command leaves none", async () => {
  await using stand = await makeStand();
  const pid = await stand.startInstrument("ids");
  stand.filters.set("ids", "");
  const failures = await failEach(
    stand,
    async (datapath) => {
      await datapath.connectWire({ engine, instrument: "ids", pid });
    },
    async () => {
      assert.deepEqual((await stand.observe()).taps, []);
      const { stdout } = await stand.commands.run([...stand.inInstrument("ids"), "ip", "-o", "link", "show"]);
      assert.doesNotMatch(stdout, /mon0/);
    },
  );
  assert.ok(failures > 6, String(failures));
  assert.equal((await stand.observe()).taps[0]?.wire, "connected");
});

test("a new mirror whose setting fails leaves none, and a change that fails leaves the former or says so", async () => {
  await using stand = await makeStand();
  const pid = await stand.startInstrument("ids");
  stand.filters.set("ids", "ip");
  await stand.datapath.connectWire({ engine, instrument: "ids", pid });
  const set = (filter: string) => (datapath: Datapath) =>
    datapath.setMirror({ engine, instrument: "ids", interface: spanKey, filter });
  await failEach(stand, set("ip"), async () => {
    const filters = await stand.commands.run([
      ...stand.inEngine,
      "tc",
      "filter",
      "show",
      "dev",
      spanKey,
      "ingress",
    ]);
    assert.doesNotMatch(filters.stdout, /pref 100 /);
    assert.deepEqual((await stand.datapath.counters(stand.known())).taps, []);
  });
  assert.equal((await stand.observe()).taps[0]?.filter, "ip");
  await failEach(stand, set("arp"), async () => {
    const [tap] = (await stand.observe()).taps;
    assert.ok(tap?.filter === "ip" || tap?.filter === null, String(tap?.filter));
  });
  stand.filters.set("ids", "arp");
  assert.equal((await stand.observe()).taps[0]?.filter, "arp");
});

/** Runs a step with its first, second, … changing command failing, until it gets through; returns how many failed. */
async function failEach(
  stand: SensorStand,
  step: (datapath: Datapath) => Promise<void>,
  afterFailure: () => Promise<void>,
  reset: () => Promise<void> = async () => undefined,
): Promise<number> {
  for (let failing = 0; failing < 60; failing += 1) {
    let changes = 0;
    let failed = false;
    const commands: Commands = {
      run(argv, options) {
        const isChange = argv.some((word) => ["set", "add", "del", "replace", "-K", "tee"].includes(word));
        // Once: what is undone afterwards must work.
        if (isChange && !failed && changes++ === failing) {
          failed = true;
          return Promise.reject(new WardenError("command-failed", `made to fail: ${argv.join(" ")}`));
        }
        return stand.commands.run(argv, options);
      },
    };
    try {
      await step(kernelDatapath({ commands, slug: stand.slug, census: new NamespaceCensus(commands) }));
    } catch (error) {
      assert.match(String(error), /made to fail/);
      await afterFailure();
      continue;
    }
    if (!failed) return failing;
    // It got through in spite of it.
    await reset();
  }
  throw new Error("60 commands and no end");
}

async function deviceOf(stand: SensorStand): Promise<string> {
  const { stdout } = await stand.commands.run(["ip", "-d", "link", "show", "dev", stand.device]);
  const features = await stand.commands.run(["ethtool", "-k", stand.device]);
  return `${stdout.replace(/^\d+: /, "")}${features.stdout}`;
}
