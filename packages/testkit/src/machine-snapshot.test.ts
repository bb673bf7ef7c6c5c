import assert from "node:assert/strict";
import { test } from "node:test";
import { type MachineSnapshot, diffSnapshots, renderDifferences } from "./machine-snapshot.ts";

const EMPTY: MachineSnapshot = {
  namespaces: [],
  links: [],
  routes: [],
  packetRules: [],
  trafficControl: [],
  containers: [],
  loops: [],
  mounts: [],
  accounts: [],
  subordinateIds: [],
  processes: [],
  cgroups: [],
  files: [],
  listeners: [],
  sysctls: [],
};

test("equal snapshots differ in nothing; a fact that is there more often is a difference", () => {
  const one = { ...EMPTY, processes: ["sleep 9"], links: ["lo"] };
  assert.deepEqual(diffSnapshots(one, one), []);
  assert.deepEqual(diffSnapshots(one, { ...one, processes: ["sleep 9", "sleep 9"] }), [
    { section: "processes", change: "added", fact: "sleep 9" },
  ]);
});

test("what went and what came are both shown, and `about` keeps to what it names", () => {
  const before = { ...EMPTY, links: ["lo", "eth0 up"], namespaces: ["other"] };
  const after = { ...EMPTY, links: ["lo", "eth0 down"], namespaces: ["other", "bulkhead-x-net-web"] };
  assert.equal(
    renderDifferences(diffSnapshots(before, after)),
    "+ namespaces: bulkhead-x-net-web\n- links: eth0 up\n+ links: eth0 down",
  );
  assert.deepEqual(
    diffSnapshots(before, after, { about: /bulkhead-x\b/ }).map(({ fact }) => fact),
    ["bulkhead-x-net-web"],
  );
  assert.deepEqual(diffSnapshots(before, after, { sections: ["files"] }), []);
});
