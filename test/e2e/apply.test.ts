/** apply on a sensor at work: only what changed is touched, and what fails leaves the former site in force. */
import assert from "node:assert/strict";
import { copyFile, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { ApplyReply, Fault, Step } from "@bulkhead/schema";
import { demoTopology, eventually, runCommand, takeSnapshot } from "@bulkhead/testkit";
import * as z from "zod";
import { Failure } from "./answers.ts";
import { type Cli, eventuallyWell, isThere, openCli, type RunOptions } from "./cli.ts";
import { initPids, processesInside } from "./containers.ts";
import { assertSums } from "./tap-sums.ts";

const NAME = "e2e-apply";
const Alert = z.looseObject({ alert: z.looseObject({ signature_id: z.int() }) });
/** Larger than any disk that this runs on, and not larger than ext4 lets a file be (16 TiB). */
const TOO_LARGE = "15TiB";

const stack = new AsyncDisposableStack();
let cli: Cli;
let dir: string;
/** The demo's site, to be changed from. */
let demo: string;

before(async () => {
  cli = stack.use(await openCli(NAME));
  dir = await mkdtemp(join(tmpdir(), "bulkhead-e2e-apply-"));
  stack.defer(() => rm(dir, { recursive: true, force: true }));
  await cli.run(["demo", "--json"]);
  for (const file of ["site.yaml", "demo.rules"])
    await copyFile(join(cli.layout.etcDir, "demo", file), join(dir, file));
  demo = await readFile(join(dir, "site.yaml"), "utf8");
});
after(() => stack.disposeAsync());

/** The demo's site with one piece of text changed. */
function changed(from: string, to: string, text = demo): string {
  assert.ok(text.includes(from), `${from} is in the site`);
  return text.replace(from, to);
}

async function apply(text: string, options: RunOptions = {}): Promise<unknown> {
  await writeFile(join(dir, "site.yaml"), text);
  return cli.json(["apply", join(dir, "site.yaml")], options);
}

async function applied(text: string): Promise<z.infer<typeof ApplyReply>> {
  return ApplyReply.parse(await apply(text));
}

async function planned(text: string): Promise<readonly string[]> {
  await writeFile(join(dir, "site.yaml"), text);
  const plan = z
    .looseObject({ steps: z.array(Step) })
    .parse(await cli.json(["plan", join(dir, "site.yaml")]));
  return plan.steps.map(({ kind, target }) => `${kind} ${target}`);
}

/** One ping of a size by which a rule tells it, from a client of the demo to its web server. */
async function ping(sizeBytes: number): Promise<void> {
  const { hosts } = demoTopology(cli.layout.slug);
  const size = ["-s", String(sizeBytes), "-c", "1", "-W", "5", hosts.web.ipv4];
  await runCommand("ip", ["netns", "exec", hosts.client1.namespace, "ping", "-n", "-q", ...size]);
}

function pingRule(sid: number, sizeBytes: number): string {
  return `alert icmp any any -> any any (msg:"LOCAL ping of ${sizeBytes}"; itype:8; dsize:${sizeBytes}; sid:${sid}; rev:1;)\n`;
}

async function eventuallyAlert(sid: number, sizeBytes: number): Promise<void> {
  await eventually(`alert ${sid}`, async () => {
    await ping(sizeBytes);
    const alerts = await cli.events("1h", "--type", "suricata.alert");
    return alerts.some(({ data }) => Alert.parse(data).alert.signature_id === sid);
  });
}

function suricata(): Promise<string> {
  return processesInside(cli, "ids", "Suricata-Main");
}

test("another filter: that tap alone is changed, and nothing is restarted", async () => {
  const pids = await initPids(cli);
  const tool = await suricata();
  assert.match(tool, /^\d+ \d+$/);
  const next = changed("tap: { from: capture }", 'tap: { from: capture, filter: "port 53" }');
  assert.deepEqual(await planned(next), ["mirror.set ids"]);
  const { steps, configs } = await applied(next);
  assert.deepEqual({ steps, configs }, { steps: 1, configs: [] });
  const [tap] = (await cli.status()).taps;
  assert.equal(tap?.filter, "port 53");
  assert.equal(tap.wire, "connected");
  assertSums(tap);
  assert.deepEqual(await initPids(cli), pids);
  assert.equal(await suricata(), tool);
  assert.equal((await applied(demo)).steps, 1);
});

test("a good rule file is loaded without a restart, and its rule alerts", async () => {
  const pids = await initPids(cli);
  const tool = await suricata();
  await writeFile(join(dir, "local.rules"), pingRule(1_000_001, 71));
  const { configs } = await applied(withLocalRules());
  assert.deepEqual(configs, [{ instrument: "ids", outcome: "applied", faults: [] }]);
  await eventuallyAlert(1_000_001, 71);
  assert.equal(await suricata(), tool);
  assert.deepEqual(await initPids(cli), pids);
});

test("a bad rule file is refused by file and line; the running rules stay and still alert", async () => {
  const tool = await suricata();
  const bad = `# a comment\n${pingRule(1_000_002, 72)}alert icmp any any -> any any (msg:"x"; nonsense; sid:3;)\n`;
  await writeFile(join(dir, "local.rules"), bad);
  const reply = ApplyReply.parse(await apply(withLocalRules(), { exitCode: 1 }));
  assert.deepEqual(reply.configs, [
    {
      instrument: "ids",
      outcome: "refused",
      faults: [{ file: "local.rules", line: 3, message: "unknown rule keyword 'nonsense'." }],
    },
  ]);
  const { stdout } = await cli.run(["apply", join(dir, "site.yaml")], { exitCode: 1 });
  assert.match(
    stdout,
    /ids: configuration refused\n +local\.rules:3: unknown rule keyword 'nonsense'/,
    "said again",
  );
  const status = await cli.status();
  const ids = status.instruments.find(({ name }) => name === "ids");
  assert.equal(status.ok, false);
  assert.equal(ids?.state, "degraded");
  assert.equal(ids.config.outcome, "refused");
  assert.match(ids.detail, /local\.rules:3: unknown rule keyword 'nonsense'.*the former one is in force/);
  assert.match(
    (await cli.run(["status"])).stdout,
    /not as the site says[^]*ids .* degraded .*local\.rules:3/,
  );

  assert.equal(await suricata(), tool);
  const alertsBefore = await countAlerts(1_000_001);
  await eventually("the former rule alerts", async () => {
    await ping(71);
    return (await countAlerts(1_000_001)) > alertsBefore;
  });
  await ping(72);
  assert.equal(await countAlerts(1_000_002), 0, "no rule of a refused file is in force");

  await writeFile(join(dir, "local.rules"), pingRule(1_000_003, 73));
  assert.equal((await applied(withLocalRules())).configs[0]?.outcome, "applied");
  await eventuallyAlert(1_000_003, 73);
  await eventuallyWell(cli);
  assert.equal(await suricata(), tool, "back without a restart");
});

test("settings are acknowledged, and take effect", async () => {
  const only = changed("homeNet: [10.20.30.0/24]", "homeNet: [10.20.30.0/24]\n      eveTypes: [alert, dns]");
  const { configs } = await applied(only);
  assert.deepEqual(configs, [{ instrument: "ids", outcome: "applied", faults: [] }]);
  const status = await eventuallyWell(cli);
  assert.equal(status.instruments.find(({ name }) => name === "ids")?.config.outcome, "applied");
  const since = Date.now();
  const fresh = await eventually("events with the new settings", async () => {
    const found = (await cli.events("20s", "--instrument", "ids")).filter(
      ({ time }) => Date.parse(time) > since,
    );
    return found.length >= 5 && found;
  });
  assert.deepEqual(
    [...new Set(fresh.map(({ type }) => type).filter((type) => !/\.(alert|dns)$/.test(type)))],
    [],
  );
});

test("settings that break the schema are faults of their line, and nothing happens", async () => {
  const { siteVersion } = await cli.status();
  const text = changed(
    "homeNet: [10.20.30.0/24]",
    "homeNet: [10.20.30.0/24]\n      eveTypes: [alert, gossip]\n      speed: 9",
  );
  const { faults } = z.strictObject({ faults: z.array(Fault) }).parse(await apply(text, { exitCode: 2 }));
  const line = text.split("\n").findIndex((each) => each.includes("gossip")) + 1;
  assert.deepEqual(faults.map(({ code, path, line: at }) => `${code} ${path} ${at}`).toSorted(), [
    `config-rejected /instruments/ids/config/eveTypes/1 ${line}`,
    `config-rejected /instruments/ids/config/speed ${line + 1}`,
  ]);
  assert.equal((await cli.status()).siteVersion, siteVersion);
});

test("an instrument is taken away with all that it had, and added again", async () => {
  const pids = await initPids(cli);
  const without = changed("  hello: { package: hello }\n", "");
  const steps = await planned(without.replace(/homeNet: .*\n/, "$&      eveTypes: [alert, dns]\n"));
  assert.ok(steps.includes("instrument.remove hello"), steps.join("; "));
  assert.ok(!steps.some((step) => / (ids|pdns|capture)/.test(step)), steps.join("; "));
  await applied(without);
  await eventually("it is gone", async () => (await initPids(cli))["hello"] === undefined);
  const status = await eventuallyWell(cli);
  assert.ok(!status.instruments.some(({ name }) => name === "hello"));
  await cli.run(["explain", "hello"], { exitCode: 1 });
  // The directory itself may stay: a container that is made anew gets the same one.
  await eventually(
    "its socket is gone",
    async () => !(await isThere(join(cli.layout.socketsDir, "hello", "bus.sock"))),
  );

  await applied(demo);
  await eventuallyWell(cli);
  const after = await initPids(cli);
  assert.ok((after["hello"] ?? 0) > 0);
  for (const name of ["capture", "ids", "pdns"]) assert.equal(after[name], pids[name], name);
  await eventually("it greets", async () => (await cli.events("5s", "--instrument", "hello")).length > 0);
});

test("a step that fails: the error names the place, the former site stays, nothing is left over", async () => {
  const more = `  more: { package: hello }\n  big: { package: passive-dns, storage: { db: ${TOO_LARGE} } }\n\ngrants:`;
  await failsWhole(changed("\ngrants:", more), /volume-no-space/, /volume\.create big\/db/);
});

test("a volume that cannot grow: the same", async () => {
  const text = changed("retention: 365d }", `retention: 365d, storage: { db: ${TOO_LARGE} } }`);
  await failsWhole(text, /volume-no-space/, /volume\.grow pdns\/db/);
});

async function failsWhole(text: string, code: RegExp, place: RegExp): Promise<void> {
  const before = { status: await cli.status(), pids: await initPids(cli), facts: await ownFacts() };
  const { error } = Failure.parse(await apply(text, { exitCode: 1 }));
  assert.match(error.code, code);
  assert.match(error.message, place);
  assert.match(error.message, /the former site is in force/);
  const status = await eventuallyWell(cli);
  assert.equal(status.siteVersion, before.status.siteVersion);
  await eventually("nothing is left over", async () => isSame(await ownFacts(), before.facts), 20_000).catch(
    async () => assert.deepEqual(await ownFacts(), before.facts), // the difference, to read
  );
  assert.deepEqual(await initPids(cli), before.pids, "nothing that ran was touched");
  assert.deepEqual((await readdir(cli.layout.volumesDir)).toSorted(), ["ids", "pdns", "platform"]);
}

/** What the machine holds in this installation's name, as far as an apply makes and removes it. */
async function ownFacts(): Promise<readonly string[]> {
  const { namespaces, containers, loops, mounts, files } = await takeSnapshot();
  // The emptied directory of an instrument's sockets stays until purge; what instruments write is theirs.
  const ours = new RegExp(`/${NAME}/(volumes|mnt|inbox|sockets)/`);
  const ignored = /\/sockets\/[a-z]+ directory |\/mnt\/[a-z]+\/[a-z]+\//;
  const places = files.filter((fact) => ours.test(fact) && !ignored.test(fact));
  return [
    ...[...namespaces, ...containers, ...loops, ...mounts].filter((fact) => fact.includes(NAME)),
    ...places,
  ];
}

function isSame(left: readonly string[], right: readonly string[]): boolean {
  return JSON.stringify(left) === JSON.stringify(right);
}

function withLocalRules(): string {
  return changed("ruleFiles: [./demo.rules]", "ruleFiles: [./demo.rules, ./local.rules]");
}

async function countAlerts(sid: number): Promise<number> {
  const alerts = await cli.events("1h", "--type", "suricata.alert");
  return alerts.filter(({ data }) => Alert.parse(data).alert.signature_id === sid).length;
}
