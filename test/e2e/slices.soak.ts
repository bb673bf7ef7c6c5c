/**
 * Time slices as an operator has them: an instrument's store is cut in slices of ten seconds, and what came is gone
 * when its period is over, whether the instrument deletes, holds on to its files, or the sensor was down meanwhile.
 */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { RetentionReport, VaultStatus } from "@bulkhead/schema";
import { eventually } from "@bulkhead/testkit";
import { askWarden } from "../../packages/cli/src/warden-client.ts";
import { LAUNCHER, runProgram } from "./cli.ts";
import { inNetworkOf, run } from "./inside.ts";
import { makeSensorStand, type SensorStand } from "./sensor-stand.ts";

const INSTALLATION = "slc";
const SITE = `  pot:
    package: echo-honeypot
    retention: 20s
    slices: { contacts: 10s }
    config: { ports: [2323] }`;
let stand: SensorStand;

const dataDir = () => join(stand.layout.mountsDir, "pot", "contacts", "d");

/** What lies in the slices that are there, by their names. */
async function contents(): Promise<Readonly<Record<string, string>>> {
  const found: Record<string, string> = {};
  for (const slice of await readdir(dataDir())) {
    const text = await readFile(join(dataDir(), slice, "contacts.jsonl"), "utf8").catch(() => "");
    if (text !== "") found[slice] = text;
  }
  return found;
}

/** Somebody comes. @returns the slice that it was kept in */
async function contact(): Promise<string> {
  const before = JSON.stringify(await contents());
  const say = 'const s = require("node:net").connect(2323, "127.0.0.1", () => s.end("hello"));';
  // An instrument that was just started listens a moment later.
  await eventually("somebody gets in", async () => {
    const network = inNetworkOf(await stand.initPid("pot"));
    return run(network, [process.execPath, "-e", say]).then(
      () => true,
      () => null,
    );
  });
  return eventually("the contact is kept", async () => {
    const now = await contents();
    return JSON.stringify(now) === before ? null : (Object.keys(now).toSorted().at(-1) ?? null);
  });
}

before(async () => {
  stand = await makeSensorStand(INSTALLATION);
  await stand.apply(stand.siteText(SITE));
  await stand.settled();
});
after(async () => stand[Symbol.asyncDispose]());

test("the site says how it is cut, and what cannot be is refused with its line", async () => {
  const { faults } = await stand.plan(stand.siteText(SITE.replace("contacts: 10s", "contacts: 30s")));
  assert.deepEqual(
    faults.map(({ path, code }) => `${path} ${code}`),
    ["/instruments/pot/slices/contacts invalid-value"],
  );
  const whole = await stand.plan(stand.siteText(SITE.replace("slices: { contacts: 10s }", "enabled: true")));
  assert.deepEqual(
    whole.faults.map(({ code }) => code),
    ["volume-differs"],
  );
});

test("what came is gone with its slice, the instrument goes on, and the operator sees why", async () => {
  const pid = await stand.initPid("pot");
  const slice = await contact();
  const listed = await eventually("it is listed", async () => {
    const { stdout } = await runProgram(LAUNCHER, ["retention", "--json", "--installation", INSTALLATION]);
    const row = RetentionReport.parse(JSON.parse(stdout)).rows.find((each) => each.store === "slices");
    return (row?.enforced?.slices ?? 0) >= 2 ? row : null;
  });
  assert.equal(listed?.periodMs, 20_000);
  assert.ok(listed.nextPurge !== null);
  const table = await runProgram(LAUNCHER, ["retention", "--installation", INSTALLATION]);
  assert.match(table.stdout, /pot slices .* slices of 10 s\).*enforced/);
  const vault = await askWarden(stand.layout, "vault", VaultStatus);
  assert.ok((vault.volumes.find(({ id }) => id === "contacts")?.slices ?? 0) >= 2);

  await stand.audited("slice.destroy", `pot/contacts/${slice}`, /its period is over/);
  assert.equal((await readdir(dataDir())).includes(slice), false);
  const keys = await readdir(join(stand.layout.vaultDir, "slice-keys", "pot", "contacts"));
  assert.equal(keys.includes(`${slice}.json`), false);
  assert.equal(await stand.initPid("pot"), pid, "an instrument that closes its files goes on");
});

test("an instrument that holds on to a file loses its run, and the file", async () => {
  const pid = await stand.initPid("pot");
  const from = (await stand.auditLog()).length;
  const slice = await contact();
  // A process of the container's own, which ends with it.
  const enter = [
    "--target",
    String(pid),
    "--user",
    "--mount",
    "--pid",
    "--setuid",
    "1000",
    "--setgid",
    "1000",
  ];
  const holder = spawn("nsenter", [
    ...enter,
    "--",
    "/bin/busybox",
    "sh",
    "-c",
    `exec 3< /data/contacts/${slice}/contacts.jsonl; echo held; sleep 600`,
  ]);
  await new Promise((resolve) => holder.stdout.once("data", resolve));
  await stand.audited("instrument.stop", "pot", /keeps files open of a slice/, from);
  await stand.audited("instrument.start", "pot", /it shall run/, from);
  await stand.settled();
  assert.notEqual(await stand.initPid("pot"), pid);
  assert.equal((await readdir(dataDir())).includes(slice), false);
  await contact();
});

test("what is over while the instrument is stopped is not opened again", async () => {
  const slice = await contact();
  await stand.order("stop", "pot");
  await stand.audited("slice.destroy", `pot/contacts/${slice}`, /its period is over/);
  const from = (await stand.auditLog()).length;
  await stand.order("start", "pot");
  await stand.audited("instrument.start", "pot", /it shall run/, from);
  await stand.settled();
  assert.equal((await readdir(dataDir())).includes(slice), false);
  await contact();
});
