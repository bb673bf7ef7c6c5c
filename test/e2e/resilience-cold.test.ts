import assert from "node:assert/strict";
import { cp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { once } from "node:events";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { down, requireSettings, up } from "@bulkhead/host";
import { eventually, runCommand, tryCommand } from "@bulkhead/testkit";
import { readRecords } from "../../packages/host/src/host-records.ts";
import { allUnitNames } from "../../packages/host/src/service.ts";
import { openSupervisor } from "../../packages/host/src/supervision.ts";
import { runtimeCommand } from "../runtime.ts";
import { inNamed, run } from "./inside.ts";
import { makeSensorStand, quiet, type SensorStand } from "./sensor-stand.ts";
import { ENGINE_LINE, idsLine, SPAN_KEY } from "./stand-site.ts";

const USUAL = [ENGINE_LINE, idsLine()];

test("a sensor stands what its host does to it", async (t) => {
  await using stand = await makeSensorStand("e2e-cold");
  await stand.apply(stand.siteText(USUAL.join("\n")));
  await stand.settled();
  await stand.alertFlows();

  await t.test("its span device goes away and comes back", () => deviceReturns(stand));
  await t.test("a site for a device that another installation holds is refused", () => claimed(stand));
  await t.test("a site that asks for more disk than there is changes nothing", () => noRoom(stand));
  await t.test("an instrument that always ends is shown with what it says, and waits longer each time", () =>
    crashLoop(stand),
  );
  await t.test("the container runtime's daemon is killed", (context) => runtimeKilled(stand, context));
  await t.test("the broker's port is taken by somebody else", () => portTaken(stand));
  await t.test("a cold start: no process, no kernel state, no run-time directory", () => coldStart(stand));
});

async function deviceReturns(stand: SensorStand): Promise<void> {
  const before = await stand.alertedMarks();
  await run(inNamed(stand.engineNamespace), ["ip", "link", "del", "dev", SPAN_KEY]);
  const waiting = await stand.until("the engine waits for its device", (status) =>
    status.pending.some(({ what }) => what.includes(stand.device)),
  );
  assert.deepEqual(
    waiting.pending.map(({ instrument }) => instrument),
    ["capture"],
  );
  await stand.plugSpan();
  await stand.until("the device is taken again", (status) => status.ok && status.pending.length === 0);
  await stand.alertFlows();
  const engine = inNamed(stand.engineNamespace);
  assert.match(await run(engine, ["tc", "filter", "show", "dev", SPAN_KEY, "egress"]), /1,6 0 0 2'/);
  const after = await stand.alertedMarks();
  for (const mark of before) assert.ok(after.has(mark), `the alert of mark ${mark} is still there`);
}

async function claimed(stand: SensorStand): Promise<void> {
  await using second = await makeSensorStand("e2e-second");
  const site = second.siteText(ENGINE_LINE, "", stand.device);
  const { faults } = await second.plan(site);
  assert.deepEqual(
    faults.map(({ code, path, line }) => ({ code, path, line })),
    [{ code: "duplicate-device", path: `/interfaces/${SPAN_KEY}/device`, line: 4 }],
  );
  assert.match(faults[0]?.message ?? "", new RegExp(`${stand.device} is held by installation .*e2e-cold`));
  await assert.rejects(second.apply(site), /has faults/);
  assert.equal((await second.status()).siteVersion, null);
  await stand.alertFlows();
}

async function noRoom(stand: SensorStand): Promise<void> {
  const { siteVersion } = await stand.status();
  const lines = [
    ...USUAL,
    "  hello: { package: hello }",
    "  pdns: { package: passive-dns, storage: { db: 900TiB } }",
  ];
  await assert.rejects(stand.apply(stand.siteText(lines.join("\n"))), /pdns\/db|pdns/);
  const status = await stand.settled();
  assert.equal(status.siteVersion, siteVersion);
  assert.deepEqual(status.instruments.map(({ name }) => name).toSorted(), ["capture", "ids"]);
  const left = await runCommand("find", [stand.layout.volumesDir, stand.layout.mountsDir, "-path", "*pdns*"]);
  assert.equal(left.stdout, "");
  assert.doesNotMatch(await stand.client("list", "--format", "csv"), /hello|pdns/);
  await stand.alertFlows();
}

async function crashLoop(stand: SensorStand): Promise<void> {
  const { catalogueDir } = stand.layout;
  const crasher = join(catalogueDir, "crasher");
  await cp(join(catalogueDir, "hello"), crasher, { recursive: true });
  const manifest = await readFile(join(crasher, "instrument.yaml"), "utf8");
  const dying = manifest
    .replace("name: hello", "name: crasher")
    .replace("/opt/instrument/agent.cjs", "/opt/instrument/not-there.cjs");
  assert.notEqual(dying, manifest);
  await writeFile(join(crasher, "instrument.yaml"), dying);
  await stand.apply(stand.siteText([...USUAL, "  crasher: { package: crasher }"].join("\n")));
  const starts = async () =>
    (await stand.auditLog()).filter((e) => e.kind.startsWith("instrument.start") && e.subject === "crasher")
      .length;
  const status = await stand.until("its back-off is shown", ({ instruments }) => {
    const { state, detail } = instruments.find(({ name }) => name === "crasher") ?? {};
    return (
      state === "degraded" &&
      /crash loop: ended by itself (?:[3-9]|\d\d+) times .*next start at/.test(detail ?? "")
    );
  });
  assert.equal(
    status.instruments.find(({ name }) => name === "ids")?.state,
    "running",
    "the others are not held up",
  );
  assert.ok((await starts()) >= 3);
  await stand.alertFlows();
  await stand.apply(stand.siteText(USUAL.join("\n")));
  await rm(crasher, { recursive: true });
  await stand.settled();
}

async function runtimeKilled(stand: SensorStand, context: TestContext): Promise<void> {
  const { kind } = (await requireSettings(stand.layout)).runtime;
  const daemon = (await readRecords()).runtimeDaemons.find((each) => each.kind === kind);
  if (daemon?.by !== "s6") {
    context.skip("the runtime's daemon was not started by Bulkhead here: it is not ours to kill");
    return;
  }
  const supervisor = openSupervisor("s6");
  const pidOf = async () => (await supervisor.observe([kind]))[0]?.pid ?? null;
  const victim = await pidOf();
  if (victim === null) throw new Error("the daemon does not run");
  process.kill(victim, "SIGKILL");
  await eventually("another daemon runs", async () => {
    const pid = await pidOf();
    return pid === victim ? null : pid;
  });
  await stand.settled();
  await stand.alertFlows();
}

async function portTaken(stand: SensorStand): Promise<void> {
  const { installation } = stand;
  const { brokerPort } = await requireSettings(stand.layout);
  await down({ installation }, quiet);
  const squatter = createServer((socket) => socket.destroy());
  squatter.listen(brokerPort, "127.0.0.1");
  await once(squatter, "listening");
  try {
    await assert.rejects(up({ installation, readyTimeoutMs: 10_000 }, quiet), new RegExp(String(brokerPort)));
  } finally {
    squatter.close();
    await once(squatter, "close");
    await up({ installation }, quiet);
  }
  await stand.settled();
  await stand.alertFlows();
}

async function coldStart(stand: SensorStand): Promise<void> {
  const { installation, layout } = stand;
  const before = await stand.events("suricata.alert", "ids");
  const { siteVersion } = await stand.settled();
  const { supervisor } = await requireSettings(layout);
  for (const name of ["sensord", "broker", "warden"] as const) {
    process.kill(await stand.processPid(name), "SIGKILL");
  }
  // What a reboot takes with it: services, containers, mounts, namespaces with all that is in them, /run.
  const units = allUnitNames(layout);
  await openSupervisor(supervisor).stop(units);
  await openSupervisor(supervisor).remove(units);
  for (const instrument of ["ids", "capture"]) {
    const [file, ...args] = runtimeCommand(["--project", layout.slug, "stop", "-f", instrument]);
    await tryCommand(file, args);
  }
  const { stdout } = await runCommand("findmnt", ["--list", "--noheadings", "--output", "TARGET"]);
  for (const target of stdout
    .split("\n")
    .filter((line) => line.startsWith(`${layout.libDir}/`))
    .toReversed()) {
    await runCommand("umount", [target]);
  }
  await runCommand("ip", ["netns", "del", stand.engineNamespace]);
  await rm(layout.runDir, { recursive: true, force: true });
  await eventually("the span device goes with its namespace", async () => {
    const gone = (await tryCommand("ip", ["link", "show", "dev", stand.device])) === undefined;
    return gone && !(await stand.network.ip("-br", "link")).includes("port0") ? true : null;
  });
  await stand.plugSpan();

  await up({ installation }, quiet);
  const status = await stand.settled();
  assert.equal(status.siteVersion, siteVersion);
  await stand.alertFlows();
  const after = await stand.events("suricata.alert", "ids");
  assert.deepEqual(after.slice(0, before.length), before);
}
