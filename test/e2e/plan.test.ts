/** plan: all faults of a bad site at once, each with its place; of a good one what it grants and does. */
import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { Fault, FlowPath, NeedStatus, type SensorStatus, Step } from "@bulkhead/schema";
import { runCommand } from "@bulkhead/testkit";
import * as z from "zod";
import { type Cli, eventuallyWell, openCli } from "./cli.ts";
import { initPids } from "./containers.ts";

const NAME = "e2e-plan";
const DEVICE = "e2eplan0";
const OTHER_END = "e2eplan1";
const Faults = z.strictObject({ faults: z.array(Fault).min(1) });
const GoodPlan = z.looseObject({
  faults: z.array(Fault).length(0),
  asked: z.array(NeedStatus),
  granted: z.array(NeedStatus),
  pending: z.array(z.strictObject({ instrument: z.string(), what: z.string() })),
  missing: z.array(NeedStatus),
  unused: z.array(z.string()),
  flows: z.array(FlowPath),
  steps: z.array(Step),
});

const IN_FORCE = `apiVersion: bulkhead/v1
sensor: ${NAME}
interfaces:
  span0: { kind: span, device: ${DEVICE} }
instruments:
  capture: { package: capture-engine, source: span0 }
  hello: { package: hello }
`;

const stack = new AsyncDisposableStack();
let cli: Cli;
let dir: string;

before(async () => {
  cli = stack.use(await openCli(NAME));
  dir = await mkdtemp(join(tmpdir(), "bulkhead-e2e-plan-"));
  stack.defer(() => rm(dir, { recursive: true, force: true }));
  await cli.run(["setup"]);
  await cli.run(["up"]);
  await runCommand("ip", ["link", "add", DEVICE, "type", "veth", "peer", "name", OTHER_END]);
  stack.defer(async () => {
    await cli[Symbol.asyncDispose](); // gives the device back
    await runCommand("ip", ["link", "del", OTHER_END]);
  });
  await cli.run(["apply", await site("in-force.yaml", IN_FORCE)]);
  await eventuallyWell(cli);
});
after(() => stack.disposeAsync());

async function site(name: string, text: string): Promise<string> {
  const file = join(dir, name);
  await writeFile(file, text);
  return file;
}

/** Faults as `code pointer @line`, so that one comparison shows all; places are those of the marks in the text. */
async function faultsOf(file: string): Promise<readonly Fault[]> {
  const { faults } = Faults.parse(await cli.json(["plan", file], { exitCode: 2 }));
  return faults;
}

function lineOf(text: string, mark: string): number {
  const lines = text.split("\n").flatMap((line, index) => (line.includes(mark) ? [index + 1] : []));
  assert.equal(lines.length, 1, `${mark} stands on one line`);
  return lines[0] ?? 0;
}

test("what the schema forbids: every fault, with path, line and what would be accepted", async () => {
  const text = `apiVersion: bulkhead/v2
sensor: HQ_DMZ
interfaces:
  span0: { kind: spam, device: eth1 }
  seg0: { kind: segment, device: eth2, vlan: 5000 }
instruments:
  Ids: { package: suricata }
  hello: { package: hello, retention: forever, colour: red }
  pdns: { retention: 30d }
flows:
  - { from: ids, to: fleet }
`;
  const faults = await faultsOf(await site("schema.yaml", text));
  const found = faults.map(({ code, path, line }) => `${code} ${path} @${line}`);
  const wanted = [
    ["invalid-value", "/apiVersion", "apiVersion"],
    ["invalid-value", "/sensor", "sensor:"],
    ["invalid-value", "/interfaces/span0/kind", "span0:"],
    ["invalid-value", "/interfaces/seg0/vlan", "seg0:"],
    ["invalid-value", "/instruments/Ids", "Ids:"],
    ["invalid-value", "/instruments/hello/retention", "hello:"],
    ["unknown-key", "/instruments/hello/colour", "hello:"],
    ["missing", "/instruments/pdns/package", "pdns:"],
    ["missing", "/flows/0/why", "- { from: ids"],
  ] as const;
  for (const [code, path, mark] of wanted)
    assert.ok(
      found.includes(`${code} ${path} @${lineOf(text, mark)}`),
      `${code} ${path} is in ${found.join("; ")}`,
    );
  assert.equal(faults.length, wanted.length, found.join("; "));
  for (const fault of faults) {
    assert.equal(fault.file, "schema.yaml");
    assert.ok(fault.message !== "" && fault.accepted !== "", JSON.stringify(fault));
  }
  assert.match(faults.find(({ path }) => path.endsWith("/colour"))?.accepted ?? "", /package.*retention/);
  assert.match(faults.find(({ path }) => path.endsWith("/kind"))?.accepted ?? "", /span.*segment.*egress/);
});

test("what only catalogue, compiler and flows can tell: every fault at once", async () => {
  const tooLong = Array.from({ length: 900 }, (_, i) => `ip6 host 2001:db8::${(i + 1).toString(16)}`).join(
    " or ",
  );
  const text = `apiVersion: bulkhead/v1
sensor: ${NAME}
interfaces:
  span0: { kind: span, device: ${DEVICE} }
  span1: { kind: span, device: ${DEVICE} }
instruments:
  capture: { package: capture-engine, source: span0 }
  second: { package: capture-engine, source: span9 }
  stray: { package: no-such-tool }
  ids:
    package: suricata
    tap: { from: capture, filter: "port fifty" }
    config:
      homeNet: [not-a-net]
      ruleFiles:
        - ./absent.rules
  ids-long:
    package: suricata
    tap:
      from: capture
      filter: "${tooLong.slice(0, tooLong.lastIndexOf(" or ", 3_990))}"
  lost: { package: suricata, tap: { from: nobody } }
  pdns: { package: passive-dns, storage: { cache: 1GiB } }
  hello: { package: hello, tap: { from: capture } }
grants:
  events:
    - { from: ids, type: suricata.alert, to: pdns }
    - { from: hello, type: hello.greeting, to: pdns } # pdns does not consume it
    - { from: ghost, type: suricata.dns, to: pdns }
fleet:
  events:
    ids: [suricata.dns]
`;
  const faults = await faultsOf(await site("meaning.yaml", text));
  const found = faults.map(({ code, path, line }) => `${code} ${path} @${line}`);
  const wanted = [
    ["duplicate-device", "/interfaces/span1/device", "span1:"],
    ["unknown-interface", "/instruments/second/source", "second:"],
    ["unknown-package", "/instruments/stray/package", "stray:"],
    ["filter-rejected", "/instruments/ids/tap/filter", "port fifty"],
    ["config-rejected", "/instruments/ids/config/homeNet/0", "not-a-net"],
    ["file-missing", "/instruments/ids/config/ruleFiles/0", "absent.rules"],
    ["filter-rejected", "/instruments/ids-long/tap/filter", "ip6 host"],
    ["unknown-instrument", "/instruments/lost/tap/from", "lost:"],
    ["not-needed", "/instruments/pdns/storage/cache", "pdns: {"],
    ["not-needed", "/instruments/hello/tap", "hello: {"],
    ["not-declared", "/grants/events/0/from", "suricata.alert, to: pdns"],
    ["not-declared", "/grants/events/0/to", "suricata.alert, to: pdns"],
    ["not-declared", "/grants/events/1/to", "pdns does not consume it"],
    ["unknown-instrument", "/grants/events/2/from", "ghost"],
    ["flow-refused", "/fleet/events/ids", "ids: [suricata.dns]"],
  ] as const;
  for (const [code, path, mark] of wanted)
    assert.ok(
      found.includes(`${code} ${path} @${lineOf(text, mark)}`),
      `${code} ${path} is in ${found.join("; ")}`,
    );
  assert.equal(faults.length, wanted.length, found.join("; "));
  const said = (path: string): string => faults.find((fault) => fault.path === path)?.message ?? "";
  assert.match(said("/instruments/ids-long/tap/filter"), /instructions; a tap's filter has at most \d+/);
  assert.match(said("/instruments/ids/tap/filter"), /fifty/);
  assert.match(said("/fleet/events/ids"), /traffic of capture → ids → fleet/, "the refused path is shown");
  const accepted = faults.find(({ code }) => code === "unknown-package")?.accepted ?? "";
  assert.match(accepted, /capture-engine.*hello.*passive-dns.*suricata/);

  const { stdout, stderr } = await cli.run(["plan", join(dir, "meaning.yaml")], { exitCode: 2 });
  assert.match(
    `${stdout}${stderr}`,
    new RegExp(`^meaning\\.yaml:${lineOf(text, "stray:")}:\\d+ no package no-such-tool`, "m"),
  );
  assert.match(`${stdout}${stderr}`, /15 faults; nothing was changed\./);
});

test("text that is no YAML is a fault of its line", async () => {
  const faults = await faultsOf(await site("syntax.yaml", "apiVersion: bulkhead/v1\nsensor: [unclosed\n"));
  assert.ok(faults.every(({ code }) => code === "syntax"));
  assert.ok((faults[0]?.line ?? 0) >= 2);
});

test("apply of a bad site changes nothing", async () => {
  const shape = ({ siteVersion, ok, instruments }: SensorStatus): unknown => ({
    siteVersion,
    ok,
    instruments: instruments.map(({ name, state, config }) => ({ name, state, config })),
  });
  const before = { status: shape(await cli.status()), pids: await initPids(cli) };
  for (const file of ["schema.yaml", "meaning.yaml", "syntax.yaml"]) {
    const { faults } = Faults.parse(await cli.json(["apply", join(dir, file)], { exitCode: 2 }));
    assert.deepEqual(faults, await faultsOf(join(dir, file)), "the same faults as in the plan");
  }
  assert.deepEqual({ status: shape(await cli.status()), pids: await initPids(cli) }, before);
  assert.equal(await readFile(join(cli.layout.siteLink, "site.yaml"), "utf8"), IN_FORCE);
});

test("the site in force has no steps", async () => {
  const plan = GoodPlan.parse(await cli.json(["plan", join(dir, "in-force.yaml")]));
  assert.deepEqual(plan.steps, []);
  assert.match((await cli.run(["plan", join(dir, "in-force.yaml")])).stdout, /Nothing to do/);
});

test("a good site: what is asked, granted, missing and unused, where data can go, and the steps", async () => {
  const text = `${IN_FORCE}  ids: { package: suricata, tap: { from: capture, filter: "port 53" } }
  pdns: { package: passive-dns }
grants:
  events:
    - { from: ids, type: suricata.dns, to: pdns }
fleet:
  events: { ids: [suricata.dns] }
flows:
  - { from: ids, to: fleet, why: alerts are what the fleet is for }
  - { from: pdns, to: fleet, why: nothing goes this way }
`;
  const plan = GoodPlan.parse(await cli.json(["plan", await site("good.yaml", text)]));
  assert.equal(plan.granted.length + plan.missing.length, plan.asked.length);
  assert.deepEqual(
    plan.missing.map(({ instrument, need }) => `${instrument} ${need}`),
    ["ids ruleset", "ids check", "ids apply", "pdns watch-list", "pdns ui"],
  );
  const tap = plan.granted.find(({ need }) => need === "tap");
  assert.equal(tap?.by, `good.yaml:${lineOf(text, "port 53")}`);
  assert.deepEqual(plan.unused, [`flow pdns to fleet (good.yaml:${lineOf(text, "nothing goes")})`]);
  assert.ok(
    plan.flows.some(
      ({ verdict, path, why }) =>
        verdict === "named" && path.join(" ") === "traffic of capture ids fleet" && why.startsWith("alerts"),
    ),
    JSON.stringify(plan.flows),
  );
  const kinds = plan.steps.map(({ kind, target }) => `${kind} ${target}`);
  for (const step of [
    "instrument.create ids",
    "instrument.start ids",
    "wire.connect ids",
    "mirror.set ids",
    "volume.create pdns/db",
    "instrument.start pdns",
  ])
    assert.ok(kinds.includes(step), `${step} in ${kinds.join("; ")}`);
  assert.ok(plan.steps.every(({ why, target }) => why !== "" && target !== ""));
  assert.ok(!kinds.some((step) => / (hello|capture)$/.test(step)), "others are left alone");
  const { stdout } = await cli.run(["plan", join(dir, "good.yaml")]);
  for (const word of [
    "not granted",
    "good.yaml:",
    "Where mirrored traffic",
    "Granted, and used by nobody",
    "Steps:",
  ])
    assert.ok(stdout.includes(word), word);
});

test("an absent device is waited for, and is no fault", async () => {
  const text = `${IN_FORCE.replace("instruments:", "  span1: { kind: span, device: absent0 }\ninstruments:")}  later: { package: capture-engine, source: span1 }\n`;
  const plan = GoodPlan.parse(await cli.json(["plan", await site("absent.yaml", text)]));
  assert.deepEqual(plan.pending, [
    { instrument: "later", what: "waits for device absent0, which is absent" },
  ]);
  assert.ok(!plan.steps.some(({ kind, target }) => kind === "span.take" && target === "absent0"));
});
