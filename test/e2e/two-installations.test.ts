/** Two sensors on one host: neither sees what the other has, and one goes without the other noticing. */
import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { Fault } from "@bulkhead/schema";
import { eventually, spanDevice } from "@bulkhead/testkit";
import * as z from "zod";
import { type Cli, eventuallyWell, openCli } from "./cli.ts";
import { initPids, listContainers, listProjects } from "./containers.ts";

const stack = new AsyncDisposableStack();
let one: Cli;
let two: Cli;
let dir: string;

const SITE = `apiVersion: bulkhead/v1
sensor: second
instruments:
  hello: { package: hello, config: { greeting: from the second } }
  alone: { package: hello }
`;

before(async () => {
  one = stack.use(await openCli("e2e-one"));
  two = stack.use(await openCli("e2e-two"));
  dir = await mkdtemp(join(tmpdir(), "bulkhead-e2e-two-"));
  stack.defer(() => rm(dir, { recursive: true, force: true }));
  await one.run(["demo", "--json"]);
  await two.run(["setup"]);
  await two.run(["up"]);
  await two.run(["apply", await site("second.yaml", SITE)]);
  await eventuallyWell(two);
});
after(() => stack.disposeAsync());

async function site(name: string, text: string): Promise<string> {
  await writeFile(join(dir, name), text);
  return join(dir, name);
}

test("both run, each with its own instruments, projects and ports", async () => {
  const [first, second] = [await eventuallyWell(one), await eventuallyWell(two)];
  assert.deepEqual(
    [first, second].map(({ sensor, instruments }) => [sensor, instruments.map(({ name }) => name)]),
    [
      ["e2e-one", ["capture", "ids", "pdns", "hello"]],
      ["second", ["hello", "alone"]],
    ],
  );
  const projects = await listProjects(one);
  assert.ok(projects.includes("bulkhead-e2e-one") && projects.includes("bulkhead-e2e-two"));
  assert.deepEqual((await listContainers(two)).map(({ name }) => name).toSorted(), ["alone", "hello"]);
  const bases = [...(await listContainers(one)), ...(await listContainers(two))].map(
    ({ idmapBase }) => idmapBase,
  );
  assert.equal(new Set(bases).size, 6, "no two containers share user ids");
  assert.notEqual((await one.settings()).brokerPort, (await two.settings()).brokerPort);
  assert.notEqual((await one.settings()).uid, (await two.settings()).uid);
});

test("neither hears the other's events", async () => {
  const Greeting = z.looseObject({ greeting: z.string() });
  const greetingsOf = async (cli: Cli): Promise<ReadonlySet<string>> =>
    new Set(
      (await cli.events("1h", "--instrument", "hello")).map(({ data }) => Greeting.parse(data).greeting),
    );
  await eventually("the second greets", async () => (await greetingsOf(two)).has("from the second"));
  await eventually("the first greets", async () => (await greetingsOf(one)).size > 0);
  assert.deepEqual([...(await greetingsOf(two))], ["from the second"]);
  assert.ok(!(await greetingsOf(one)).has("from the second"));
  assert.ok(!(await two.events("1h")).some(({ type }) => type.startsWith("suricata.")));
});

test("an instrument of the other's is unknown, and one of the same name is one's own", async () => {
  await two.run(["explain", "ids"], { exitCode: 1 });
  await one.run(["stop", "alone"], { exitCode: 1 });
  await two.run(["stop", "hello"]);
  const state = async (cli: Cli): Promise<string | undefined> =>
    (await cli.status()).instruments.find(({ name }) => name === "hello")?.state;
  assert.equal(await state(two), "stopped");
  assert.equal(await state(one), "running");
  await two.run(["start", "hello"]);
  await eventuallyWell(two);
});

test("a device that the first holds is a fault for the second, and the holder is named", async () => {
  const device = spanDevice(one.layout.slug);
  const text = `${SITE}  capture: { package: capture-engine, source: span0 }
interfaces:
  span0: { kind: span, device: ${device} }
`;
  const file = await site("grabs.yaml", text);
  for (const verb of ["plan", "apply"]) {
    const { faults } = z
      .strictObject({ faults: z.array(Fault) })
      .parse(await two.json([verb, file], { exitCode: 2 }));
    assert.deepEqual(
      faults.map(({ code, path, line, message }) => [code, path, line, message]),
      [
        [
          "duplicate-device",
          "/interfaces/span0/device",
          text.split("\n").findIndex((each) => each.includes("kind: span")) + 1,
          `${device} is held by installation e2e-one on this host`,
        ],
      ],
    );
  }
  assert.equal((await one.status()).taps[0]?.wire, "connected");
});

test("the second is purged, and the first goes on as if nothing were", async () => {
  const pids = await initPids(one);
  const { siteVersion } = await one.status();
  const seen = (await one.status()).taps[0]?.seen ?? 0;
  await two.purge();
  await two.run(["status"], { exitCode: 1 });
  assert.ok(!(await listProjects(one)).includes("bulkhead-e2e-two"));
  const status = await eventuallyWell(one);
  assert.equal(status.siteVersion, siteVersion);
  assert.deepEqual(await initPids(one), pids);
  await eventually("frames are still copied", async () => ((await one.status()).taps[0]?.seen ?? 0) > seen);
  await eventually(
    "events still come",
    async () => (await one.events("5s", "--instrument", "ids")).length > 0,
  );
});
