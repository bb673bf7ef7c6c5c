/**
 * Limits on real containers: what one instrument does by excess stops at its own limits, is counted against it alone,
 * and those beside it stay as they were. How much they are slowed is a matter of `bench noisy`.
 */
import assert from "node:assert/strict";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { Settings } from "@bulkhead/schema";
import { ATTACK_SCRIPTS } from "../bench/noisy/attack-scripts.ts";
import { Inside } from "../bench/noisy/inside.ts";
import { buildPacketHog } from "../bench/noisy/packet-hog.ts";
import { ENGINE_LINE, makeSensorStand, poll, type SensorStand } from "./sensor-stand.ts";

const SECONDS = "3";
const IDS =
  "tap: { from: capture }, storage: { run: 64MiB, rules: 32MiB }, config: { distributionRules: false }";
const INSTRUMENTS = `${ENGINE_LINE}
  ids: { package: suricata, ${IDS} }
  bystander: { package: hello }
  noisy: { package: passive-dns, storage: { db: 32MiB } }
  noisy-tap: { package: suricata, ${IDS} }`;
const UNHARMED = ["capture", "ids", "bystander"];

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
    }
    await using attack = await inside.node("noisy", ATTACK_SCRIPTS["disk-filler"], SECONDS);
    assert.equal(attack.firstLine, "fills");
    await sleep(2_000);
    await assertUnharmed();
  });

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
      const former = await poll("noisy-tap runs", () => stand.initPid("noisy-tap").catch(() => null));
      await stand.settled();
      await inside.put("noisy-tap", "/data/run/hog", await readFile(await buildPacketHog()));
      // It may be stopped before it has said a word.
      await using attack = await inside.asRoot("noisy-tap", ["/data/run/hog", mode, "60", "mon0"]);
      await stand.audited("limit.exceeded", "noisy-tap", finding);
      assert.doesNotMatch(attack.firstLine ?? "", /^0 sockets/);
      await poll("it was started anew, without the attack", async () => {
        const pid = await stand.initPid("noisy-tap").catch(() => former);
        return pid === former ? null : true;
      });
      await assertUnharmed();
    });
  }
});

/** Of the control group, of either version, that a process is in. */
async function processesOf(pid: number): Promise<{ readonly max: number; readonly current: number }> {
  const lines = (await readFile(`/proc/${pid}/cgroup`, "utf8")).split("\n");
  const own =
    lines.map((line) => line.split(":")).find(([, names]) => names === "pids") ?? lines[0]?.split(":");
  const group = own?.[2] ?? "/";
  const tops = ["/sys/fs/cgroup/pids", "/sys/fs/cgroup"];
  for (const top of tops) {
    const dir = join(top, group);
    if (!(await readdir(dir).catch((): string[] => [])).includes("pids.max")) continue;
    const [max, current] = await Promise.all(
      ["pids.max", "pids.current"].map(async (file) => Number(await readFile(join(dir, file), "utf8"))),
    );
    if (max !== undefined && current !== undefined) return { max, current };
  }
  throw new Error(`no group of ${pid} with a limit of processes`);
}
