import assert from "node:assert/strict";
import { test } from "node:test";
import { HOST_ROLES, PROTECTED_IPV4, demoTopology, spanDevice } from "./demo-topology.ts";

test("a span device fits into an interface name and belongs to one installation", () => {
  const names = ["bulkhead", "bulkhead-two", "bulkhead-sixteen-letters"].map(spanDevice);
  for (const name of names) assert.match(name, /^bh[0-9a-f]{12}$/);
  assert.equal(new Set(names).size, names.length);
  assert.equal(spanDevice("bulkhead"), names[0]);
});

test("all hosts but the attacker are inside the protected prefix, and nobody shares an address", () => {
  const { hosts } = demoTopology("bulkhead");
  const prefix = PROTECTED_IPV4.replace("0/24", "");
  for (const role of HOST_ROLES) {
    assert.equal(hosts[role].ipv4.startsWith(prefix), role !== "attacker", role);
    assert.equal(hosts[role].namespace, `bulkhead-net-${role}`);
  }
  for (const key of ["ipv4", "ipv6", "mac"] as const) {
    assert.equal(new Set(HOST_ROLES.map((role) => hosts[role][key])).size, HOST_ROLES.length);
  }
});

test("a slug that could be taken for an option or a path is refused", () => {
  for (const slug of ["", "-n", "../x", "a b", "Bulkhead", "a".repeat(33)]) {
    assert.throws(() => demoTopology(slug), { name: "TestkitError", code: "testkit-bad-name" }, slug);
  }
});
