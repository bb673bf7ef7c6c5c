import assert from "node:assert/strict";
import { test } from "node:test";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { requireSettings } from "@bulkhead/host";
import type { ContainmentLayer } from "@bulkhead/schema";
import { verify } from "@bulkhead/verify";
import { eventually } from "@bulkhead/testkit";
import { LAUNCHER } from "./cli.ts";
import { makeSensorStand, type SensorStand } from "./sensor-stand.ts";

test("verify proves a real instrument's twin contained, and is red where it is not", async (t) => {
  await using stand = await makeSensorStand("e2e-verify");
  await stand.apply(stand.siteText("  greeter: { package: hello }"));
  await stand.settled();

  await t.test("every attempt to get out of the twin is stopped", () => whole(stand));
  await t.test("without a layer the attempt that it covers succeeds, and the proof is red", () => red(stand));
  await t.test("controls show what they must", () => controls(stand));
  await t.test("a canary that is killed midway has not passed", () => killed(stand));
  await t.test("a canary goes with the command that asked for it", () => orphaned(stand));
  await t.test("nothing of a canary is left, and the instrument was never touched", () => left(stand));
});

async function run(
  stand: SensorStand,
  more: {
    readonly without?: readonly ContainmentLayer[];
    readonly only?: readonly string[];
    readonly prove?: boolean;
    readonly onProgress?: (words: string) => void;
  } = {},
) {
  const { without = [], only, prove = false, onProgress = () => undefined } = more;
  const settings = await requireSettings(stand.layout);
  const place = { layout: stand.layout, settings, instruments: ["greeter"] };
  return verify({ ...place, without, only, prove, asHostRoot: false, onProgress });
}

async function whole(stand: SensorStand): Promise<void> {
  const pid = await stand.initPid("greeter");
  const proof = await run(stand);
  const failed = proof.results.filter(({ status }) => status === "failed");
  assert.deepEqual(
    failed.map(({ attempt, observed, witness }) => ({ attempt, observed, witness })),
    [],
  );
  assert.ok(proof.ok);
  assert.ok(proof.attempts >= 80, `${proof.attempts} attempts`);
  assert.equal(proof.controls, null);
  assert.equal(await stand.initPid("greeter"), pid, "the real instrument runs on");
}

async function red(stand: SensorStand): Promise<void> {
  const cases: readonly (readonly [ContainmentLayer[], attempt: string])[] = [
    [["capabilities", "seccomp-mounts"], "mount-root"],
    [["seccomp-kernel"], "io-uring-user"],
    [["read-only-root"], "root-file"],
    [["network-namespace"], "tcp-host-service-user"],
    [["bus-gate"], "bus-reply-as-command"],
  ];
  for (const [without, attempt] of cases) {
    const proof = await run(stand, { without, only: [attempt] });
    const found = proof.results.find((one) => one.attempt === attempt);
    assert.equal(found?.status, "failed", `${attempt} without ${without.join()}: ${found?.observed}`);
    assert.notEqual(found?.witness, null, `${attempt}: seen from outside`);
    assert.equal(proof.ok, false);
  }
}

async function controls(stand: SensorStand): Promise<void> {
  const only = ["new-user-namespace-user", "fork-bomb", "kernel-log-user", "bus-delete-stream"];
  const proof = await run(stand, { only, prove: true });
  const uncaught = proof.results.flatMap(({ controls: own }) => own.filter(({ caught }) => !caught));
  assert.deepEqual(uncaught, []);
  // Two layers each alone and both, twice; one; the host's root.
  assert.deepEqual(proof.controls, { total: 8, caught: 8 });
  assert.ok(proof.ok);
}

async function killed(stand: SensorStand): Promise<void> {
  const stopped: Promise<string>[] = [];
  const proof = await run(stand, {
    only: ["io-uring-root", "bus-forge-event", "bus-hear-events", "bus-hear-inbox"],
    onProgress: (words) => {
      if (words.includes("as its user")) stopped.push(stand.client("stop", "--force", "canary"));
    },
  });
  await Promise.all(stopped);
  assert.equal(proof.ok, false);
  const user = proof.results.filter(({ actor }) => actor === "user");
  assert.ok(
    user.some(({ status, observed }) => status === "failed" && observed === "no answer"),
    JSON.stringify(user),
  );
}

async function orphaned(stand: SensorStand): Promise<void> {
  const asks = spawn(LAUNCHER, ["verify", "greeter", "--installation", stand.installation], {
    stdio: "ignore",
  });
  const closed = once(asks, "close");
  const isThere = () =>
    stand.query("canary/state").then(
      () => true,
      () => false,
    );
  await eventually("the canary is there", isThere, 120_000);
  asks.kill("SIGKILL");
  await closed;
  await eventually("the canary is gone", async () => !(await isThere()), 120_000);
  await stand.audited("canary.lost", "greeter", /removed/);
}

async function left(stand: SensorStand): Promise<void> {
  await assert.rejects(stand.query("canary/state"), /not found/i);
  const status = await stand.settled();
  assert.deepEqual(
    status.instruments.map(({ name }) => name),
    ["greeter"],
  );
}
