import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { test } from "node:test";
import type { Attempt, Params } from "../attempt.ts";
import { ATTEMPTS } from "../attempts/index.ts";
import { attack, isStopped } from "./attack.ts";
import type { Place } from "./place.ts";
import type { Adversary } from "./relay.ts";

const [some] = ATTEMPTS;
if (some === undefined) throw new Error("there are attempts");
const unseen: Attempt = { ...some, id: "unseen", witness: { kind: "answer", why: "a test" } };
const deadly: Attempt = { ...unseen, id: "deadly", expected: ["killed"], mayKill: true };
const network: Attempt = {
  ...some,
  id: "network",
  witness: { kind: "network", what: "links", pattern: "x" },
};

test("an adversary that dies of its attempt was killed; the same where its canary died is no answer", async () => {
  const [alone] = await made([deadly], { place: placeOf(process.pid), adversary: silent() });
  assert.equal(alone?.observed, "killed");
  const [whole] = await made([deadly], { place: placeOf(await endedPid()), adversary: silent() });
  assert.equal(whole?.observed, "no answer");
});

test("where there was no adversary nobody was killed", async () => {
  const findings = await made([deadly, unseen], { place: placeOf(process.pid), adversary: null });
  assert.deepEqual(
    findings.map(({ observed }) => observed),
    ["no answer", "no answer"],
  );
  assert.ok(!findings.some(isStopped));
});

test("a canary that has ended fails what is left, and the findings before it stay", async () => {
  const findings = await made([unseen, network], {
    place: placeOf(await endedPid()),
    adversary: silent("EPERM"),
  });
  assert.deepEqual(
    findings.map(({ observed }) => observed),
    ["EPERM", "no answer"],
  );
  assert.match(findings[1]?.detail ?? "", /canary was gone/);
});

/** Answers the first attempt with this, if it is given, and is gone then. */
function silent(...answers: readonly string[]): Adversary {
  const left = [...answers];
  return {
    run: async () => {
      const answer = left.shift();
      return answer === undefined ? null : { answer, detail: "" };
    },
    release: async () => true,
    end: () => undefined,
  };
}

function placeOf(pid: number): Place {
  return { pid, host: false, idmapBase: 0, memoryBytes: 0, processes: 0, cpu: 1 };
}

async function endedPid(): Promise<number> {
  const child = spawn("true");
  await once(child, "close");
  assert.ok(child.pid);
  return child.pid;
}

function made(
  attempts: readonly Attempt[],
  { place, adversary }: { readonly place: Place; readonly adversary: Adversary | null },
) {
  // Neither is asked for: these attempts have no parameters, and their witnesses count nothing.
  const nothing = {} as Params & Parameters<typeof attack>[0]["counters"];
  return attack({ adversary, attempts, place, params: nothing, counters: nothing });
}
