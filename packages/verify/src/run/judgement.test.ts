import assert from "node:assert/strict";
import { test } from "node:test";
import { ATTEMPTS } from "../attempts/index.ts";
import { attack, type Finding, isStopped, isSuccess } from "./attack.ts";
import type { Adversary } from "./relay.ts";
import { proofOf, type Result } from "./result.ts";

const place = { pid: process.pid, host: true, idmapBase: 0, memoryBytes: 1, processes: 1, cpu: 1 };
const params = {
  memoryBytes: 1,
  processes: 1,
  hostPid: 1,
  hostFile: "/x",
  volumes: [],
  decoyPort: 1,
  hostPort: 1,
  linkDir: "/",
};
const counters = {
  count: () => Promise.resolve(0),
  frames: () => Promise.resolve(0),
  host: {
    socketsDir: "/",
    markFile: "/",
    logDirs: [],
    readBack: () => Promise.resolve(),
    signals: () => 0,
    secrets: () => Promise.resolve([]),
  },
};
const attempts = ATTEMPTS.filter(({ witness }) => witness.kind === "answer").slice(0, 3);
const [first] = attempts;

/** Answers as told, and is gone after so many attempts. */
function liar(answer: string, until: number): Adversary {
  let made = 0;
  return {
    run: async () => {
      made += 1;
      return made > until ? null : { answer, detail: "" };
    },
    release: async () => true,
    end: () => undefined,
  };
}

function finding(more: Partial<Finding>): Finding {
  assert.ok(first);
  return { attempt: first, observed: first.expected[0] ?? "", detail: "", witness: null, ...more };
}

test("an adversary that goes away leaves failures behind, not passes", async () => {
  const expected = attempts[0]?.expected[0] ?? "";
  const findings = await attack({ adversary: liar(expected, 1), attempts, place, params, counters });
  assert.deepEqual(findings.map(isStopped), [true, false, false]);
  assert.deepEqual(
    findings.slice(1).map(({ observed }) => observed),
    ["no answer", "no answer"],
  );
});

test("no adversary at all is a failure of every attempt", async () => {
  const findings = await attack({ adversary: null, attempts, place, params, counters });
  assert.ok(findings.every((one) => !isStopped(one)));
});

test("the right errno is not enough where the witness saw something", () => {
  assert.equal(isStopped(finding({})), true);
  assert.equal(isStopped(finding({ witness: "a mount" })), false);
});

test("another refusal than the one expected is a failure", () => {
  assert.equal(isStopped(finding({ observed: "EIO" })), false);
});

test("a control shows nothing while its witness sees nothing", () => {
  const seen = ATTEMPTS.find(({ witness }) => witness.kind === "descriptor");
  assert.ok(seen);
  assert.equal(isSuccess(finding({ attempt: seen, observed: "done" })), false);
  assert.equal(isSuccess(finding({ attempt: seen, observed: "done", witness: "1 descriptor" })), true);
});

test("a proof is not ok for an instrument of which nothing was tested, or with a control that shows nothing", () => {
  const result: Result = {
    instrument: "one",
    attempt: "x",
    group: "host",
    means: "x",
    actor: "user",
    expected: ["EPERM"],
    observed: "EPERM",
    witness: null,
    unseen: null,
    status: "passed",
    layers: ["capabilities"],
    controls: [{ control: "capabilities", caught: false, observed: "EPERM", witness: null }],
  };
  assert.equal(proofOf(["one"], [result], false).ok, true);
  assert.equal(proofOf(["one"], [result], true).ok, false);
  assert.equal(proofOf(["one", "two"], [result], false).ok, false);
  assert.equal(proofOf(["one"], [{ ...result, status: "absent" }], false).ok, false);
});
