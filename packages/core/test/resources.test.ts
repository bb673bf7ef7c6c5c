/** Resources in site, plan and explanation: who may hand what on, where it may go from there, and what it leaves. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Catalogue } from "@bulkhead/schema";
import { checkedSite, explainInstrument, planSite } from "../src/index.ts";
import { emptyHost, inputOf, manifestOf } from "./fixtures.ts";

const head = (name: string) => `apiVersion: bulkhead/v1
name: ${name}
version: 1.0.0
title: ${name}
role: helper
image: { base: debian }
run: { command: [/opt/node/bin/node] }
resources: { memory: 64MiB, cpu: 1, processes: 16 }
needs:
`;
const TEXTS = {
  feeds: `${head("feeds")}  - { id: out, kind: resource.publish, type: ruleset.feed, size: 64MiB }
`,
  rules: `${head("rules")}  - { id: in, kind: resource.receive, type: ruleset.feed, size: 32MiB }
  - { id: find, kind: find, type: feeds }
  - { id: net, kind: net.egress }
`,
  source: `${head("source")}  - { id: out, kind: resource.publish, type: ruleset.feed, size: 64MiB }
  - { id: e, kind: event.emit, type: a.b, audience: [users], class: personal-data }
`,
} as const;
const catalogue: Catalogue = Object.fromEntries(
  Object.entries(TEXTS).map(([name, text], index) => [
    name,
    {
      manifest: manifestOf(text),
      manifestFile: `${name}/instrument.yaml`,
      manifestText: text,
      configSchema: null,
      digest: String(index + 1).repeat(64),
    },
  ]),
);
const site = (grants: string, from = "feeds", egress = "") => `apiVersion: bulkhead/v1
sensor: demo
interfaces:
  out: { kind: egress, device: eth0, address: dhcp, dns: [192.0.2.53] }
instruments:
  feeds: { package: ${from} }
  rules: { package: rules${egress} }
grants:
  resources: [ ${grants} ]
`;
const GRANT = "{ from: feeds, type: ruleset.feed, to: rules }";
const planned = (text: string, observed = emptyHost(["eth0"])) =>
  planSite(inputOf(text, { catalogue, files: [], observed }));

test("a grant is a line of the site, for both sides", () => {
  const { faults, granted, missing } = planned(site(GRANT));
  assert.deepEqual(faults, []);
  assert.deepEqual(
    granted.map(({ instrument, what, by }) => `${instrument}: ${what} [${by}]`),
    [
      "feeds: publish ruleset.feed, each at most 64 MiB [site.yaml:9]",
      "rules: receive ruleset.feed of up to 32 MiB [site.yaml:9]",
      "rules: find granted peers of type feeds [site.yaml:7]",
    ],
  );
  assert.deepEqual(
    missing.map(({ need }) => need),
    ["net"],
  );
  const without = planned(site(""));
  assert.deepEqual(
    without.missing.map(({ instrument, need }) => `${instrument} ${need}`),
    ["feeds out", "rules in", "rules net"],
  );
});

test("both sides must declare the type, and nobody publishes for itself", () => {
  const faultsOf = (grants: string) =>
    planned(site(grants)).faults.map(({ code, message }) => `${code}: ${message}`);
  assert.deepEqual(faultsOf("{ from: rules, type: ruleset.feed, to: feeds }"), [
    "not-declared: rules (rules) does not declare publishing ruleset.feed",
    "not-declared: feeds (feeds) does not declare receiving ruleset.feed",
  ]);
  assert.deepEqual(faultsOf("{ from: feeds, type: watch-list, to: nobody }"), [
    "not-declared: feeds (feeds) does not declare publishing watch-list",
    "unknown-instrument: no instrument nobody in this site",
  ]);
  assert.ok(
    faultsOf("{ from: feeds, type: ruleset.feed, to: feeds }").includes(
      "invalid-value: feeds cannot publish a resource for itself",
    ),
  );
});

test("personal data that can leave by a resource needs a flow that names it", () => {
  const egress = ', egress: { through: out, hosts: [ "example.net:443" ] }';
  const { flows, faults } = planned(site(GRANT, "source", egress));
  assert.deepEqual(
    flows.map(({ path, verdict }) => `${path.join(" > ")}: ${verdict}`),
    ["personal data > feeds > rules > out: refused"],
  );
  assert.ok(faults.some(({ code }) => code === "flow-refused"));
  assert.deepEqual(planned(site("", "source", egress)).flows, []);
});

test("explain names what is handed on to whom, with its line", () => {
  const checked = checkedSite({ text: site(GRANT), file: "site.yaml", catalogue, accepted: {}, files: [] });
  assert.ok("site" in checked);
  const linesOf = (name: string) =>
    explainInstrument(name, checked)?.sections.flatMap((s) =>
      s.lines.map((l) => `${s.title}: ${l.text} [${l.by}]`),
    );
  assert.ok(
    linesOf("feeds")?.includes("can reach: rules, which is given its ruleset.feed resources [site.yaml:9]"),
  );
  assert.ok(
    linesOf("rules")?.includes(
      "can see: ruleset.feed resources of feeds, below /resources, read-only [site.yaml:9]",
    ),
  );
});

test("only who declares it gets the directory, and what is nobody's any more is removed", () => {
  const host = { ...emptyHost(["eth0"]), resourceDirs: ["rules", "feeds", "gone"] };
  const { steps } = planned(site(GRANT), host);
  const specs = steps.flatMap((step) => (step.kind === "instrument.create" ? [step.spec] : []));
  assert.deepEqual(
    specs.map(({ name, resources }) => [name, resources]),
    [
      ["feeds", false],
      ["rules", true],
    ],
  );
  assert.deepEqual(
    steps.flatMap((step) => (step.kind === "resources.remove" ? [step.instrument] : [])),
    ["feeds", "gone"],
  );
});
