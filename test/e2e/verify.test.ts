/** The proof as a user has it, on the smallest instrument; every layer and control is in verify.soak.ts. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { ProofJson } from "@bulkhead/verify";
import { Cli } from "./cli.ts";
import { makeSensorStand } from "./sensor-stand.ts";

const NAME = "greeter";

test("verify proves a real instrument's twin contained, and is red without a layer", async (t) => {
  await using stand = await makeSensorStand("e2e-proof");
  await stand.apply(stand.siteText(`  ${NAME}: { package: hello }`));
  await stand.settled();
  // The stand removes the installation.
  const cli = new Cli(stand.installation);

  await t.test("every attempt to get out of the twin is stopped", async () => {
    const pid = await stand.initPid(NAME);
    const proof = ProofJson.parse(await cli.json(["verify", NAME]));
    const failed = proof.results.filter(({ status }) => status === "failed");
    assert.deepEqual(failed, []);
    assert.ok(proof.ok);
    assert.ok(proof.attempts >= 80, `${proof.attempts} attempts`);
    assert.equal(proof.attempts, proof.results.length);
    assert.equal(proof.controls, null);
    assert.equal(await stand.initPid(NAME), pid, "the real instrument runs on");
  });

  await t.test("without a layer an attempt that it covers succeeds, and is seen", async () => {
    const args = ["verify", NAME, "--without", "seccomp-kernel", "--only", "io-uring-user"];
    const proof = ProofJson.parse(await cli.json(args, { exitCode: 1 }));
    const found = proof.results.find(({ attempt }) => attempt === "io-uring-user");
    assert.equal(found?.status, "failed", found?.observed);
    assert.notEqual(found.witness, null, "seen from outside");
    assert.equal(proof.ok, false);
  });

  await t.test("no canary is left, and its orders are in the audit log", async () => {
    assert.deepEqual(await stand.query("canary/state").catch(() => "gone"), "gone");
    const orders = (await stand.auditLog()).filter(({ kind }) => kind.startsWith("order.canary."));
    const kinds = ["create", "attack", "remove"].map((verb) => `order.canary.${verb}`);
    assert.deepEqual([...new Set(orders.map(({ kind }) => kind))].toSorted(), kinds.toSorted());
    const weakened = orders.filter(
      ({ kind, detail }) => kind === "order.canary.create" && isWeakened(detail),
    );
    assert.equal(weakened.length, 1);
  });
});

function isWeakened(detail: unknown): boolean {
  return JSON.stringify(detail).includes("seccomp-kernel");
}
