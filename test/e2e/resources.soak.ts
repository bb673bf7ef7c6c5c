/** A resource on a whole sensor: from one instrument's socket to another's read-only directory, and what ends there. */
import assert from "node:assert/strict";
import { readdir, readFile } from "node:fs/promises";
import { test } from "node:test";
import { API_ROUTES, ResourcesReport } from "@bulkhead/schema";
import { connectBus } from "@bulkhead/sdk";
import { eventually, runCommand } from "@bulkhead/testkit";
import { deliverResource } from "../../packages/sdk/src/resource-sender.ts";
import { makeSensorStand, type SensorStand } from "./sensor-stand.ts";

const TYPE = "watch-list";
const INSTRUMENTS = `  feeds: { package: downloader, storage: { store: 16MiB } }
  pdns: { package: passive-dns, storage: { db: 32MiB } }
  spare: { package: passive-dns, storage: { db: 32MiB } }`;
const GRANTS = `grants:
  resources: [ { from: feeds, type: ${TYPE}, to: pdns } ]`;

/** Whoever has an instrument's socket speaks in its name. */
async function deliver(stand: SensorStand, text: string) {
  const socketPath = `${stand.layout.socketsDir}/feeds/bus.sock`;
  const bus = await connectBus({ instrument: "feeds", socketPath });
  try {
    const body = (async function* () {
      yield Buffer.from(text);
    })();
    return await deliverResource(bus, { type: TYPE, name: "domains", sizeBytes: text.length, body });
  } finally {
    await bus.close();
  }
}

async function receiverOf(stand: SensorStand) {
  const { resources } = await stand.api.get(API_ROUTES.resources.path, ResourcesReport);
  return resources.find(({ name }) => name === "domains")?.receivers.find(({ to }) => to === "pdns");
}

/** As the container sees it. */
async function seenBy(stand: SensorStand, instrument: string): Promise<readonly string[]> {
  const top = `/proc/${await stand.initPid(instrument)}/root/resources`;
  const entries = await readdir(top, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile());
  return Promise.all(files.map((entry) => readFile(`${entry.parentPath}/${entry.name}`, "utf8")));
}

test("a resource reaches whom the site grants it, read-only, and goes with the grant", async (t) => {
  await using stand = await makeSensorStand("e2e-resources");
  await stand.apply(stand.siteText(INSTRUMENTS, GRANTS));
  await stand.settled();

  await t.test("it lies in the receiver's directory, which nobody inside can write", async () => {
    const { receivers, version } = await deliver(stand, "one.example\n");
    assert.deepEqual(receivers, ["pdns"]);
    await eventually("pdns to take it", async () => (await receiverOf(stand))?.state === "taken");
    assert.deepEqual(await seenBy(stand, "pdns"), ["one.example\n"]);
    assert.deepEqual(await seenBy(stand, "spare"), []);
    const namespaces = ["--user", "--mount", "--setuid", "0", "--setgid", "0"];
    const enter = ["--target", String(await stand.initPid("pdns")), ...namespaces, "--"];
    const file = `/resources/feeds/${TYPE}/domains/${version}`;
    for (const path of ["/resources/x", file]) {
      const write = ["/opt/node/bin/node", "-e", `require("fs").writeFileSync(${JSON.stringify(path)}, "x")`];
      await assert.rejects(runCommand("nsenter", [...enter, ...write]), /EROFS|EACCES/);
    }
    await stand.audited("resource.delivered", "feeds", new RegExp(version));
  });

  await t.test("one that was down has it at its start, beside the last good one", async () => {
    const before = await receiverOf(stand);
    await stand.order("stop", "pdns");
    const { version } = await deliver(stand, "two.example\n");
    await stand.order("start", "pdns");
    await eventually("pdns to take the second", async () => {
      const now = await receiverOf(stand);
      return now?.state === "taken" && now.current === version && now.lastGood === before?.current;
    });
    assert.deepEqual((await seenBy(stand, "pdns")).toSorted(), ["one.example\n", "two.example\n"]);
  });

  await t.test("a sensord that was killed leaves it where it is, and goes on", async () => {
    process.kill(await stand.processPid("sensord"), "SIGKILL");
    assert.deepEqual((await seenBy(stand, "pdns")).toSorted(), ["one.example\n", "two.example\n"]);
    await stand.settled();
    const third = await eventually("a delivery", () => deliver(stand, "three.example\n").catch(() => null));
    await eventually(
      "pdns to have the third",
      async () => (await receiverOf(stand))?.current === third.version,
    );
  });

  await t.test("a revoked grant takes it away, and the instrument's end its directory", async () => {
    await stand.apply(stand.siteText(INSTRUMENTS));
    await eventually("it to be gone", async () => (await seenBy(stand, "pdns")).length === 0);
    await stand.apply(stand.siteText(INSTRUMENTS.split("\n").slice(0, 1).join("\n")));
    await eventually("the directories to be gone", async () => {
      const left = await readdir(stand.layout.resourcesDir);
      return left.length === 0;
    });
  });
});
