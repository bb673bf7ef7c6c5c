/** What a stranger does first: the demo, once more, and away with it. */
import assert from "node:assert/strict";
import { readdir, readFile } from "node:fs/promises";
import { after, before, test } from "node:test";
import { SensorStatus } from "@bulkhead/schema";
import {
  ATTACKS,
  diffSnapshots,
  eventually,
  type MachineSnapshot,
  makeNamespace,
  renderDifferences,
  runCommand,
  spanDevice,
  takeSnapshot,
} from "@bulkhead/testkit";
import * as z from "zod";
import { type Cli, isThere, openCli } from "./cli.ts";
import { initPids, listContainers } from "./containers.ts";
import { assertSums } from "./tap-sums.ts";

const NAME = "e2e-demo";
/** Somebody else's, with names that begin like ours. */
const FOREIGN = "bulkhead-e2e-demolition";
const FOREIGN_TABLE = "bulkhead_e2e_demolition";
const count = z.int().min(0);
/** As the issue has it, and nothing besides. */
const DemoResult = z.strictObject({
  ok: z.literal(true),
  alerts: z.int().min(1),
  dnsRecords: z.int().min(1),
  instruments: z.array(
    z.strictObject({
      sensor: z.string(),
      name: z.string(),
      package: z.string(),
      state: z.literal("running"),
    }),
  ),
  taps: z
    .array(
      z.strictObject({
        sensor: z.string(),
        instrument: z.string(),
        seen: z.int().min(1),
        filtered: count,
        mirrored: z.int().min(1),
        wireDropped: count,
        toolDropped: count,
      }),
    )
    .length(1),
  readyMs: z.int().min(1),
  packetToEventMs: z.strictObject({ p50: z.number().min(0), p99: z.number().min(0), n: z.int().min(1) }),
});

const stack = new AsyncDisposableStack();
let cli: Cli;
let bare: MachineSnapshot;
let first: z.infer<typeof DemoResult>;

before(async () => {
  cli = stack.use(await openCli(NAME));
  stack.use(await makeNamespace({ name: FOREIGN }));
  await runCommand("nft", ["add", "table", "inet", FOREIGN_TABLE]);
  stack.defer(async () => void (await runCommand("nft", ["delete", "table", "inet", FOREIGN_TABLE])));
  bare = await takeSnapshot();
});
after(() => stack.disposeAsync());

test("demo --json: one line on stdout with the fields of the contract, progress on stderr", async () => {
  const { stdout, stderr } = await cli.run(["demo", "--json"]);
  assert.match(stdout, /^\{[^\n]*\}\n$/);
  first = DemoResult.parse(JSON.parse(stdout));
  const { instruments, taps, packetToEventMs } = first;
  assert.deepEqual(
    instruments.map((i) => `${i.sensor} ${i.name} ${i.package}`),
    [
      `${NAME} capture capture-engine`,
      `${NAME} ids suricata`,
      `${NAME} pdns passive-dns`,
      `${NAME} hello hello`,
    ],
  );
  for (const tap of taps) {
    assert.equal(tap.instrument, "ids");
    assert.equal(tap.seen, tap.filtered + tap.mirrored, "nothing was lost on the way to the wire");
    assert.equal(tap.wireDropped, 0);
  }
  assert.ok(packetToEventMs.p50 <= packetToEventMs.p99);
  for (const step of ["checks", "packages", "programs", "images", "processes", "demo-network", "site"])
    assert.match(stderr, new RegExp(`^✔ ${step}: `, "m"));
});

test("every attack of the demo raises its signatures", async () => {
  const wanted = new Set<number>(Object.values(ATTACKS).flatMap(({ signatures }) => [...signatures]));
  const missing = async (): Promise<readonly number[]> => {
    const seen = new Set(
      (await cli.events("1h", "--type", "suricata.alert")).map(
        ({ data }) =>
          z.looseObject({ alert: z.looseObject({ signature_id: z.int() }) }).parse(data).alert.signature_id,
      ),
    );
    return [...wanted].filter((id) => !seen.has(id));
  };
  await eventually("an alert of each attack", async () => (await missing()).length === 0);
});

test("taps: the sums come out, frame by frame, and nobody tried to send", async () => {
  const [tap] = SensorStatus.shape.taps.parse(await cli.json(["taps"]));
  assert.ok(tap !== undefined && tap.seen > 0);
  assertSums(tap);
  assert.equal(tap.guardDropped, 0);
  assert.equal(tap.wire, "connected");
});

test("a second run builds and restarts nothing, and counts what is of this run alone", async () => {
  const pids = await initPids(cli);
  const alertsBefore = (await cli.events("1h", "--type", "suricata.alert")).length;
  const { stdout, stderr } = await cli.run(["demo", "--json"]);
  const second = DemoResult.parse(JSON.parse(stdout));
  const alertsAfter = (await cli.events("1h", "--type", "suricata.alert")).length;
  assert.match(stderr, /^✔ packages: all there/m);
  assert.match(stderr, /^✔ programs: unchanged/m);
  assert.match(stderr, /^✔ images: \d+ packages, unchanged/m);
  assert.match(stderr, /^✔ settings: unchanged/m);
  assert.match(stderr, /^✔ processes: all run already/m);
  assert.match(stderr, /^✔ site: .* 0 steps/m);
  assert.deepEqual(await initPids(cli), pids, "no container was started anew");
  assert.ok(second.alerts <= alertsAfter - alertsBefore, "alerts of the first run are not counted again");
  const [tap] = SensorStatus.shape.taps.parse(await cli.json(["taps"]));
  const seen = second.taps[0]?.seen ?? 0;
  assert.ok(
    seen <= (tap?.seen ?? 0) - (first.taps[0]?.seen ?? 0),
    "frames of the first run are not counted again",
  );
});

test("down --purge leaves nothing, and everybody else's as it was", async () => {
  const containers = await listContainers(cli);
  const { brokerPort } = await cli.settings();
  const ours = new RegExp(
    `${NAME}|${NAME.replaceAll("-", "_")}|${spanDevice(cli.layout.slug)}|127\\.0\\.0\\.1:${brokerPort}\\b`,
  );
  const during = diffSnapshots(bare, await takeSnapshot(), { about: ours });
  for (const section of [
    "namespaces",
    "containers",
    "loops",
    "mounts",
    "accounts",
    "processes",
    "files",
    "listeners",
  ])
    assert.ok(
      during.some((fact) => fact.section === section && fact.change === "added"),
      `${section} would show it`,
    );

  const { stdout } = await cli.run(["down", "--purge"]);
  assert.match(stdout, /Nothing of this installation is left\./);
  const left = diffSnapshots(bare, await takeSnapshot(), {
    about: new RegExp(`${ours.source}|${FOREIGN}|${FOREIGN_TABLE}`),
  });
  assert.equal(renderDifferences(left), "");
  assert.deepEqual(await processesOf(containers.map(({ idmapBase }) => idmapBase)), []);
  assert.equal(await isThere(cli.layout.etcDir), false);
  const { stdout: again } = await cli.run(["down", "--purge"]);
  assert.match(again, /Nothing of this installation is left\./, "once more is no error");
});

/** Processes whose user is of one of these ranges of 65536 ids. */
async function processesOf(bases: readonly number[]): Promise<readonly string[]> {
  assert.ok(bases.length > 0 && bases.every((base) => base > 65_536), `ranges ${bases.join(", ")}`);
  const found: string[] = [];
  for (const pid of (await readdir("/proc")).filter((name) => /^\d+$/.test(name))) {
    const status = await readFile(`/proc/${pid}/status`, "utf8").catch(() => ""); // ended meanwhile
    const uid = Number(/^Uid:\s+(\d+)/m.exec(status)?.[1] ?? 0);
    if (bases.some((base) => uid >= base && uid < base + 65_536)) found.push(`${pid} of uid ${uid}`);
  }
  return found;
}
