/** Plans as sentences, faults with their places, and the property that an achieved plan is empty. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Observed, Plan } from "@bulkhead/schema";
import fc from "fast-check";
import { checkedSite, planSite, type PlanInput, planSteps, waitingForVault } from "../src/index.ts";
import { achieve, catalogue, emptyHost, FILES, inputOf, SITE } from "./fixtures.ts";

const sentences = (plan: Plan) => plan.steps.map((s) => `${s.kind} ${s.target}: ${s.why}`);
const settle = (input: PlanInput): Observed => planSite(input).steps.reduce(achieve, input.observed);

test("a first plan makes everything in a safe order", () => {
  const plan = planSite(inputOf(SITE));
  assert.deepEqual(plan.faults, []);
  assert.deepEqual(sentences(plan), [
    "image.import capture-engine: capture runs it",
    "image.import suricata: ids runs it",
    "image.import passive-dns: pdns runs it",
    "engine.create capture: span0 lives in its namespace",
    "span.take eth1: capture owns it alone",
    "volume.create ids/rules: its manifest asks for it",
    "inbox.put ids: its config names these files",
    "volume.create pdns/db: its manifest asks for it",
    "instrument.create capture: the site has it",
    "instrument.start capture: it shall run",
    "instrument.create ids: the site has it",
    "instrument.start ids: it shall run",
    "instrument.create pdns: the site has it",
    "instrument.start pdns: it shall run",
    "wire.connect ids: the site gives it a tap from capture",
    "mirror.set ids: frames that match not port 22",
  ]);
  assert.deepEqual(plan.files, ["local.rules"]);
  assert.equal(plan.granted.find((g) => g.need === "dns" && g.instrument === "pdns")?.by, "site.yaml:14");
});

test("a mirror goes with its tap, though nobody knows its filter or has its wire any more", () => {
  const settled = settle(inputOf(SITE));
  const gone = { engine: "capture", instrument: "gone", filter: null };
  for (const [wire, more] of [
    ["none", []],
    ["connected", ["wire.disconnect gone: no tap of gone from capture in the site"]],
  ] as const) {
    const observed = { ...settled, taps: [...settled.taps, { ...gone, wire }] };
    assert.deepEqual(sentences(planSite(inputOf(SITE, { observed }))), [
      "mirror.remove gone: no tap of gone from capture in the site",
      ...more,
    ]);
  }
});

test("from the achieved state the plan is empty, from any site to any other", () => {
  const site = fc.record({
    ids: fc.boolean(),
    pdns: fc.boolean(),
    source: fc.boolean(),
    filter: fc.constantFrom("", "port 53", "not port 22"),
    device: fc.constantFrom("eth1", "eth2", "eth9"),
    enabled: fc.boolean(),
    size: fc.constantFrom("128MiB", "256MiB"),
    files: fc.boolean(),
  });
  type Choice = typeof site extends fc.Arbitrary<infer T> ? T : never;
  const render = (c: Choice) => `apiVersion: bulkhead/v1
sensor: demo
interfaces:
  span0: { kind: span, device: ${c.device} }
instruments:
  capture: { package: capture-engine${c.source ? ", source: span0" : ""} }
${c.ids ? `  ids: { package: suricata, enabled: ${c.enabled}, storage: { rules: ${c.size} }${c.source ? `, tap: { from: capture, filter: "${c.filter}" }` : ""}${c.files ? ", config: { ruleFiles: [local.rules] }" : ""} }` : ""}
${c.pdns ? "  pdns: { package: passive-dns }" : ""}
`;
  fc.assert(
    fc.property(
      fc.array(site, { minLength: 1, maxLength: 5 }),
      fc.subarray(["ids", "pdns"]),
      (sites, stopped) => {
        let observed = emptyHost(["eth1", "eth2"]);
        for (const choice of sites) {
          const input = inputOf(render(choice), { observed, stopped });
          assert.deepEqual(planSite(input).faults, []);
          observed = settle(input);
          assert.deepEqual(sentences(planSite({ ...input, observed })), []);
        }
      },
    ),
  );
});

test("a changed filter touches that mirror alone", () => {
  const observed = settle(inputOf(SITE));
  const plan = planSite(inputOf(SITE.replace("not port 22", "port 53"), { observed }));
  assert.deepEqual(sentences(plan), ["mirror.set ids: frames that match port 53"]);
});

test("a larger volume grows without a new container", () => {
  const observed = settle(inputOf(SITE));
  const plan = planSite(
    inputOf(SITE.replace("retention: 30d", "retention: 30d, storage: { db: 1GiB }"), { observed }),
  );
  assert.deepEqual(sentences(plan), ["volume.grow pdns/db: the site grants more"]);
});

test("an instrument whose containment differs is made anew", () => {
  const settled = settle(inputOf(SITE));
  const observed = {
    ...settled,
    instruments: settled.instruments.map((i) =>
      i.name === "pdns" ? { ...i, deviations: ["nesting is on"] } : i,
    ),
  };
  assert.deepEqual(
    planSite(inputOf(SITE, { observed })).steps.map((s) => `${s.kind} ${s.target}`),
    ["instrument.remove pdns", "instrument.create pdns", "instrument.start pdns"],
  );
});

test("removing an instrument removes its container and destroys its data", () => {
  const observed = settle(inputOf(SITE));
  const text = SITE.replace("  pdns: { package: passive-dns, retention: 30d }\n", "").replace(
    /grants:[\s\S]*/,
    "",
  );
  assert.deepEqual(sentences(planSite(inputOf(text, { observed }))), [
    "instrument.remove pdns: not in the site",
    "volume.remove pdns/db: no instrument in the site has it: its data is destroyed",
    "image.remove 333333333333: no instrument runs it",
  ]);
});

test("an absent device is a state to wait in, and no fault", () => {
  const plan = planSite(inputOf(SITE, { observed: emptyHost([]) }));
  assert.deepEqual(plan.faults, []);
  assert.deepEqual(plan.pending, [{ instrument: "capture", what: "waits for device eth1, which is absent" }]);
  assert.equal(
    plan.steps.some((s) => s.kind === "span.take" || s.kind === "mirror.set"),
    false,
  );
});

test("an instrument that is held back after a crash is not started, others are", () => {
  const plan = planSite(inputOf(SITE, { held: ["ids"] }));
  const started = plan.steps.filter((s) => s.kind === "instrument.start").map((s) => s.target);
  assert.deepEqual(started, ["capture", "pdns"]);
  assert.equal(
    plan.steps.some((s) => s.kind === "wire.connect"),
    false,
  );
});

test("all faults at once, each with its place and what would be accepted", () => {
  const text = `apiVersion: bulkhead/v1
sensor: Demo
interfaces:
  span0: { kind: span, device: eth1, speed: 10 }
instruments:
  ids: { tap: { from: capture } }
`;
  const faults = planSite(inputOf(text)).faults;
  assert.deepEqual(
    faults.map(({ path, line, code }) => ({ path, line, code })),
    [
      { path: "/sensor", line: 2, code: "invalid-value" },
      { path: "/interfaces/span0/speed", line: 4, code: "unknown-key" },
      { path: "/instruments/ids/package", line: 6, code: "missing" },
    ],
  );
  assert.equal(faults[1]?.accepted, "one of: kind, device");
  assert.match(faults[0]?.accepted ?? "", /lower-case letters/);
});

test("faults that need the catalogue and the host", () => {
  const text = SITE.replace("eth1", "eth2")
    .replace("passive-dns, retention", "pasive-dns, retention")
    .replace("[./local.rules]", "[./other.rules], memoryMiB: 3, colour: red");
  const observed = { ...emptyHost(), claimedDevices: [{ device: "eth2", installation: "other" }] };
  const faults = planSite(
    inputOf(text, { observed, rejectedFilters: { "not port 22": "syntax error" } }),
  ).faults;
  assert.deepEqual(
    faults.map((f) => `${f.code} ${f.path}`),
    [
      "duplicate-device /interfaces/span0/device",
      "filter-rejected /instruments/ids/tap/filter",
      "config-rejected /instruments/ids/config/memoryMiB",
      "config-rejected /instruments/ids/config/colour",
      "file-missing /instruments/ids/config/ruleFiles/0",
      "unknown-package /instruments/pdns/package",
    ],
  );
});

test("faults of the schema do not hide those of the meaning", () => {
  const text = SITE.replace("device: eth1", "device: eth1, speed: 10")
    .replace("passive-dns, retention: 30d", "pasive-dns, retention: a year")
    .replace("fleet:\n", "fleet:\n  events: { ids: [suricata.alert] }\n");
  const faults = planSite(inputOf(text)).faults;
  assert.deepEqual(
    faults.map((f) => `${f.code} ${f.path}`),
    [
      "unknown-key /interfaces/span0/speed",
      "invalid-value /instruments/pdns/retention",
      "unknown-package /instruments/pdns/package",
      "flow-refused /fleet/events/ids",
    ],
  );
  assert.equal(faults[1]?.accepted, "a duration such as 30s, 12h or 90d");
});

test("a reference to an entry that is itself faulty is no fault of its own", () => {
  const faults = planSite(
    inputOf(
      SITE.replace("capture: { package: capture-engine, source: span0 }", "capture: { source: span0 }"),
    ),
  ).faults;
  assert.deepEqual(
    faults.map((f) => `${f.code} ${f.path}`),
    ["missing /instruments/capture/package"],
  );
});

test("broken YAML and duplicate keys are faults with a line", () => {
  const [fault] = planSite(inputOf("sensor: a\nsensor: b\n")).faults;
  assert.deepEqual([fault?.code, fault?.line], ["syntax", 2]);
});

test("a way out for mirrored traffic is refused unless the site names its last hop", () => {
  const open = SITE.replace("fleet:\n", "fleet:\n  events: { ids: [suricata.alert] }\n");
  const [fault] = planSite(inputOf(open)).faults;
  assert.equal(fault?.code, "flow-refused");
  assert.equal(fault?.path, "/fleet/events/ids");
  assert.match(fault?.message ?? "", /traffic of capture → ids → fleet/);
  const named = `${open}flows: [{ from: ids, to: fleet, why: alerts are for the fleet }]\n`;
  const plan = planSite(inputOf(named));
  assert.deepEqual(plan.faults, []);
  assert.deepEqual(
    plan.flows.filter((f) => f.to === "fleet").map((f) => f.verdict),
    ["named"],
  );
});

test("people at a UI of what was fed with mirrored traffic are shown, not refused", () => {
  const flow = planSite(inputOf(SITE)).flows.find((f) => f.from === "ids");
  assert.deepEqual(
    [flow?.verdict, flow?.path],
    ["shown", ["traffic of capture", "ids", "pdns", "people (analyst)"]],
  );
});

test("a grant that one side does not declare is a fault", () => {
  const text = SITE.replace("type: suricata.dns, to: pdns", "type: suricata.alert, to: pdns");
  assert.deepEqual(
    planSite(inputOf(text)).faults.map((f) => `${f.code} ${f.path}`),
    ["not-declared /grants/events/0/from", "not-declared /grants/events/0/to"],
  );
});

test("a wider request of a newer version waits while the accepted one runs", () => {
  const former = catalogue["passive-dns"];
  assert.ok(former);
  const wider = {
    ...former,
    digest: "9".repeat(64),
    manifest: {
      ...former.manifest,
      version: "2.0.0",
      resources: { ...former.manifest.resources, memory: 2 ** 30 },
    },
  };
  const input = inputOf(SITE, {
    catalogue: { ...catalogue, "passive-dns": wider },
    accepted: { pdns: former },
  });
  const plan = planSite(input);
  assert.deepEqual(plan.pending, [
    { instrument: "pdns", what: "its newer version asks for resources.memory" },
  ]);
  const made = plan.steps.find((s) => s.kind === "instrument.create" && s.instrument === "pdns");
  assert.equal(made?.kind === "instrument.create" && made.spec.imageDigest, former.digest);
  assert.deepEqual(planSite({ ...input, accepted: {} }).pending, []);
});

test("while the vault is locked, what needs persistent data is neither made nor started, and what runs runs on", () => {
  const site = checkedSite({ text: SITE, file: "site.yaml", catalogue, accepted: {}, files: FILES });
  assert.ok("desired" in site);
  const { desired } = site;
  const plan = (observed: Observed, locked: boolean) =>
    planSteps({ desired, observed, stopped: [], held: [], locked }).map((s) => `${s.kind} ${s.target}`);
  const cold = plan(emptyHost(), true);
  assert.ok(cold.includes("instrument.start capture"), "it keeps nothing");
  for (const name of ["ids", "pdns"]) {
    assert.deepEqual(
      cold.filter((s) => /^(volume|instrument|wire|mirror)/.test(s) && s.includes(` ${name}`)),
      [],
    );
  }
  assert.deepEqual(
    waitingForVault({ desired, observed: emptyHost(), stopped: ["pdns"], held: [], locked: true }),
    ["ids"],
  );
  const achieved = settle(inputOf(SITE));
  assert.deepEqual(plan(achieved, true), [], "what runs has its keys in the kernel");
});

test("a volume that a crash left open is closed, unless its instrument runs or is about to", () => {
  const achieved = settle(inputOf(SITE));
  const crashed: Observed = {
    ...achieved,
    instruments: achieved.instruments.map((i) =>
      i.name === "pdns" ? { ...i, state: "stopped", pid: null } : i,
    ),
  };
  assert.deepEqual(sentences(planSite(inputOf(SITE, { observed: crashed }))), [
    "instrument.start pdns: it shall run",
  ]);
  const stopped = inputOf(SITE, { observed: crashed, stopped: ["pdns"] });
  assert.deepEqual(sentences(planSite(stopped)), ["volume.detach pdns/db: pdns does not run"]);
  assert.deepEqual(planSite({ ...stopped, observed: settle(stopped) }).steps, []);
});
