import assert from "node:assert/strict";
import { test } from "node:test";
import { CONTAINMENT_LAYERS, type InstrumentSpec } from "@bulkhead/schema";
import { GROUPS } from "../attempt.ts";
import { canaryControls, listControls } from "../run/controls.ts";
import { ATTEMPTS } from "./index.ts";

const spec = (more: Partial<InstrumentSpec>): InstrumentSpec => ({
  name: "one",
  package: "one",
  version: "1.0.0",
  imageDigest: "0".repeat(64),
  command: ["/bin/true"],
  capabilities: [],
  memoryBytes: 64 * 2 ** 20,
  cpu: 0.25,
  processes: 32,
  volumes: [],
  ui: false,
  egress: false,
  resources: false,
  network: { kind: "none" },
  ...more,
});
const SPECS = {
  none: spec({}),
  mirror: spec({ network: { kind: "mirror" }, capabilities: ["NET_RAW"] }),
  engine: spec({ network: { kind: "engine" } }),
  port: spec({ network: { kind: "port" } }),
  nic: spec({ network: { kind: "nic" } }),
  egress: spec({ egress: true }),
  resources: spec({ resources: true }),
} as const;

test("ids are unique, say who tries, and fit the adversary's lines", () => {
  const ids = ATTEMPTS.map(({ id }) => id);
  assert.deepEqual(ids, [...new Set(ids)]);
  for (const id of ids) assert.match(id, /^[a-z][a-z0-9-]{2,60}$/);
});

test("every kind of instrument gets at least eighty attempts, in every group", () => {
  for (const [kind, one] of Object.entries(SPECS)) {
    const own = ATTEMPTS.filter(({ applies }) => applies?.(one) ?? true);
    assert.ok(own.length >= 80, `${kind}: ${own.length}`);
    for (const group of GROUPS)
      assert.ok(
        own.some((attempt) => attempt.group === group),
        `${kind}: ${group}`,
      );
  }
});

test("every attempt is covered by layers with a control, or says why there is none", () => {
  for (const { id, layers, control, expected, means } of ATTEMPTS) {
    assert.ok(expected.length > 0, id);
    assert.ok(means.length > 15 && means.endsWith("."), `${id}: ${means}`);
    if (control.kind === "none") assert.ok(control.why.length > 20, id);
    else assert.ok(layers.length > 0, `${id} has a control and no layer`);
    const hostOnly = layers.filter((layer) => CONTAINMENT_LAYERS[layer].kind === "host");
    // A canary cannot be made without these, so such a control would show nothing.
    if (control.kind === "canary") assert.deepEqual(hostOnly, [], id);
  }
});

test("an attempt that may be answered with success is judged by a witness outside", () => {
  for (const { id, expected, witness } of ATTEMPTS) {
    if (expected.includes("done")) assert.notEqual(witness.kind, "answer", id);
  }
});

test("what every kind of network is attacked by is tried", () => {
  const own = (one: InstrumentSpec) =>
    ATTEMPTS.filter(({ applies }) => applies?.(one) ?? true).map(({ id }) => id);
  for (const id of ["spoofed-mac", "spoofed-ip", "vlan-tag", "arp-lie", "neighbour-lie", "host-service"])
    for (const kind of ["port", "nic"] as const)
      assert.ok(own(SPECS[kind]).includes(`${kind}-${id}-root`), `${kind}: ${id}`);
  for (const id of ["tcp-other-instrument", "tcp-cloud-metadata", "undeclared-service"])
    assert.ok(own(SPECS.port).includes(`port-${id}-user`), id);
  for (const id of ["other-host", "other-port", "address", "other-name", "private-address", "plain-protocol"])
    assert.ok(own(SPECS.egress).includes(`egress-${id}`), id);
  assert.ok(!own(SPECS.none).some((id) => /^(?:egress|port(?!-access)|nic)-/.test(id)));
});

test("an attempt that only its answer judges says why the host's side sees nothing", () => {
  const silent = ATTEMPTS.filter(({ witness }) => witness.kind === "answer");
  for (const { id, witness } of silent) if (witness.kind === "answer") assert.ok(witness.why.length > 30, id);
  // Each new one is a decision: most can have a witness.
  assert.ok(silent.length <= 36, silent.map(({ id }) => id).join(", "));
});

test("an attempt that is covered twice has a control for each layer alone", () => {
  const names = canaryControls(ATTEMPTS).map(({ name }) => name);
  assert.ok(names.includes("capabilities+seccomp-mounts"));
  assert.ok(names.includes("capabilities alone, without seccomp-mounts"));
  assert.ok(names.includes("seccomp-mounts alone, without capabilities"));
});

test("the list of controls names every attempt exactly once", () => {
  const listed = listControls(ATTEMPTS).flatMap(({ attempts }) => attempts);
  assert.deepEqual(listed.toSorted(), ATTEMPTS.map(({ id }) => id).toSorted());
});
