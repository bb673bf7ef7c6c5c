/**
 * Limits on real containers: what one instrument does by excess stops at its own limits, is counted against it alone,
 * and those beside it stay as they were. How much they are slowed is a matter of `bench noisy`.
 */
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { after, before, suite, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { API_ROUTES, BusReport, Settings } from "@bulkhead/schema";
import { eventually } from "@bulkhead/testkit";
import { ATTACK_SCRIPTS, type AttackId } from "../bench/noisy/attack-scripts.ts";
import { Inside } from "../bench/noisy/inside.ts";
import { buildPacketHog } from "../bench/noisy/packet-hog.ts";
import { processesOf, processorMs } from "./control-group.ts";
import { makeSensorStand, type SensorStand } from "./sensor-stand.ts";
import { ENGINE_LINE } from "./stand-site.ts";

const SECONDS = "3";
const IDS =
  "tap: { from: capture }, storage: { run: 64MiB, rules: 32MiB }, config: { distributionRules: false }";
const INSTRUMENTS = `${ENGINE_LINE}
  ids: { package: suricata, ${IDS} }
  bystander: { package: hello }
  noisy: { package: passive-dns, storage: { db: 32MiB } }
  noisy-bus: { package: hello }
  noisy-tap: { package: suricata, ${IDS} }`;
const UNHARMED = ["capture", "ids", "bystander"];

/** Says `sees` once it was told of a change in a directory that it watches. */
const WATCHES = `const fs = require("node:fs");
const dir = fs.mkdtempSync("/tmp/watched-");
fs.watch(dir, () => { console.log("sees"); process.exit(0); }).on("error", (error) => { console.log(error.code); process.exit(1); });
setInterval(() => fs.writeFileSync(dir + "/file", ""), 100);`;

suite("limits", () => {
  let stand: SensorStand;
  let inside: Inside;
  let pids: readonly number[];

  before(async () => {
    stand = await makeSensorStand("e2e-limits");
    await stand.apply(stand.siteText(INSTRUMENTS));
    await stand.settled();
    const settings = Settings.parse(JSON.parse(await readFile(stand.layout.settingsFile, "utf8")));
    inside = new Inside(stand.layout, settings);
    pids = await pidsOf(UNHARMED);
  });
  after(() => stand[Symbol.asyncDispose]());

  const pidsOf = (names: readonly string[]): Promise<readonly number[]> =>
    Promise.all(names.map((name) => stand.initPid(name)));

  /** None of them was stopped or started anew. */
  const assertUnharmed = async (): Promise<void> => {
    assert.deepEqual(await pidsOf(UNHARMED), pids);
    for (const name of UNHARMED) assert.equal((await stand.instrument(name)).state, "running", name);
  };

  test("a fork bomb ends at the limit of processes", async () => {
    const init = await stand.initPid("noisy");
    await using attack = await inside.node("noisy", ATTACK_SCRIPTS["fork-bomb"], SECONDS);
    assert.equal(attack.firstLine, "forks");
    await sleep(1_000);
    const { max, current } = await processesOf(init);
    assert.equal(max, 32);
    assert.ok(current <= max && current > 8, `${current} of ${max} processes`);
    await assertUnharmed();
  });

  test("one that spins gets its share of the processors and no more", async () => {
    const init = await stand.initPid("noisy");
    await using attack = await inside.node("noisy", ATTACK_SCRIPTS["cpu-spin"], SECONDS);
    assert.equal(attack.firstLine, "spins");
    const [beganMs, before] = [performance.now(), await processorMs(init)];
    await sleep(2_000);
    const share = ((await processorMs(init)) - before) / (performance.now() - beganMs);
    // Its manifest says half a processor; one period of it may be spent early.
    assert.ok(share > 0 && share < 0.6, `${share} processors`);
    await assertUnharmed();
  });

  test("a memory hog is killed within its own group, as often as it tries", async () => {
    await using attack = await inside.node("noisy", ATTACK_SCRIPTS["memory-hog"], SECONDS);
    assert.equal(attack.firstLine, "allocates");
    await sleep(2_000);
    await assertUnharmed();
  });

  test("files and disk end at the instrument's own limits", async () => {
    {
      await using attack = await inside.node("noisy", ATTACK_SCRIPTS.descriptors, SECONDS);
      const files = Number(/^(\d+) files$/.exec(attack.firstLine ?? "")?.[1]);
      assert.ok(files > 1_000 && files < 4_096, `${files} files`);
      // Its instances of inotify are charged to its own users, which are nobody else's.
      await using watches = await inside.node("bystander", WATCHES);
      assert.equal(watches.firstLine, "sees");
    }
    await using attack = await inside.node("noisy", ATTACK_SCRIPTS["disk-filler"], SECONDS);
    assert.equal(attack.firstLine, "fills");
    await sleep(2_000);
    await assertUnharmed();
  });

  test("sockets end at the instrument's own descriptors", async () => {
    await using attack = await inside.node("noisy", ATTACK_SCRIPTS.sockets, SECONDS);
    assert.equal(attack.firstLine, "connects");
    await sleep(2_000);
    await assertUnharmed();
  });

  const busCounts = async (name: string) => {
    const { instruments } = await stand.api.get(API_ROUTES.bus.path, BusReport);
    const counts = instruments.find((each) => each.name === name);
    if (counts === undefined) throw new Error(`${name} is not in the report of the bus`);
    return counts;
  };

  test("a flood of log lines is refused past its rate, and counted", async () => {
    const before = (await busCounts("noisy")).refusedBy["report-rate"] ?? 0;
    await using attack = await inside.node("noisy", ATTACK_SCRIPTS["log-flood"], SECONDS);
    assert.equal(attack.firstLine, "floods");
    await eventually("log lines are refused", async () => {
      const { refusedBy } = await busCounts("noisy");
      return (refusedBy["report-rate"] ?? 0) > before + 1_000;
    });
    await assertUnharmed();
  });

  for (const flood of ["bus-flood", "message-bomb"] as const satisfies readonly AttackId[]) {
    test(`a ${flood} waits at its gate, and sensord answers meanwhile`, async () => {
      const before = await busCounts("noisy-bus");
      await using attack = await inside.node("noisy-bus", ATTACK_SCRIPTS[flood], SECONDS);
      assert.equal(attack.firstLine, "floods");
      await eventually("it is made to wait", async () => {
        const { throttled, throttledMs } = await busCounts("noisy-bus");
        return throttled > before.throttled && throttledMs > before.throttledMs + 500;
      });
      await assertUnharmed();
    });
  }

  test("filters on packet sockets are refused, so that frames cost others a copy and no more", async () => {
    await inside.put("noisy-tap", "/data/run/hog", await readFile(await buildPacketHog()));
    await using attack = await inside.asRoot("noisy-tap", ["/data/run/hog", "filters", "1", "mon0"]);
    assert.match(attack.firstLine ?? "", /, 0 filters, errno 92$/);
  });

  for (const [mode, finding] of [
    ["rings", /MiB of packet rings and buffers, of 256/],
    ["sockets", /packet sockets, of 32/],
  ] as const) {
    test(`packet ${mode} past the allowance stop the instrument, and the audit log says why`, async () => {
      // What was tried before has had it stopped, too.
      const former = await eventually("noisy-tap runs", () => stand.initPid("noisy-tap").catch(() => null));
      await stand.settled();
      await inside.put("noisy-tap", "/data/run/hog", await readFile(await buildPacketHog()));
      // It may be stopped before it has said a word.
      await using attack = await inside.asRoot("noisy-tap", ["/data/run/hog", mode, "60", "mon0"]);
      await stand.audited("limit.exceeded", "noisy-tap", finding);
      assert.doesNotMatch(attack.firstLine ?? "", /^0 sockets/);
      await eventually("it was started anew, without the attack", async () => {
        const pid = await stand.initPid("noisy-tap").catch(() => former);
        return pid === former ? null : true;
      });
      await assertUnharmed();
    });
  }
});
