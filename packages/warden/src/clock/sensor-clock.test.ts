import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { SensorClock } from "./sensor-clock.ts";

const HOUR = 3_600_000;
const YEAR = 365 * 24 * HOUR;
const START = Date.UTC(2026, 10, 25);

async function make(t: TestContext) {
  const wardenDir = await mkdtemp(join(tmpdir(), "bulkhead-clock-"));
  t.after(() => rm(wardenDir, { recursive: true }));
  const now = { wallMs: START, uptimeMs: 1_000, bootId: "one" };
  return { wardenDir, now, open: () => SensorClock.open({ wardenDir }, () => ({ ...now })) };
}

const at = (ms: number) => ({ earliestMs: ms, latestMs: ms });

test("a clock that jumps ahead makes nothing certain but what has passed, until root confirms it", async (t) => {
  const { now, open } = await make(t);
  const clock = await open();
  assert.deepEqual(clock.span(), at(START));
  assert.equal(clock.problem(), null);
  now.wallMs += YEAR + HOUR;
  now.uptimeMs += HOUR;
  assert.deepEqual(clock.span(), { earliestMs: START + HOUR, latestMs: START + YEAR + HOUR });
  assert.equal(clock.problem()?.code, "clock-differs");
  assert.deepEqual(await clock.confirm(), at(START + YEAR + HOUR));
  assert.equal(clock.problem(), null);
});

test("a clock that is set back hides nothing of what has passed from what is opened", async (t) => {
  const { now, open } = await make(t);
  const clock = await open();
  assert.deepEqual(clock.span(), at(START));
  now.wallMs -= YEAR;
  now.uptimeMs += HOUR;
  assert.deepEqual(clock.span(), { earliestMs: START - YEAR, latestMs: START + HOUR });
});

test("its past outlives a restart and a boot", async (t) => {
  const { now, open } = await make(t);
  const first = await open();
  assert.deepEqual(first.span(), at(START));
  await first.keep();
  now.wallMs += YEAR;
  now.uptimeMs += HOUR;
  assert.deepEqual((await open()).span(), { earliestMs: START + HOUR, latestMs: START + YEAR });
  Object.assign(now, { wallMs: START + 10 * HOUR, uptimeMs: HOUR, bootId: "two" });
  const booted = await open();
  assert.deepEqual(booted.span(), { earliestMs: START + HOUR, latestMs: START + 10 * HOUR });
  assert.equal(booted.problem(), null, "the machine was off");
});

test("a past that cannot be read makes nothing certain until root confirms the clock", async (t) => {
  const { wardenDir, now, open } = await make(t);
  await writeFile(join(wardenDir, "clock.json"), "{");
  const clock = await open();
  assert.deepEqual(clock.span(), { earliestMs: null, latestMs: START });
  assert.match(clock.problem()?.message ?? "", /cannot be read/);
  await clock.keep();
  assert.deepEqual((await open()).span().earliestMs, null, "and a restart does not help");
  now.wallMs = 0;
  await clock.confirm();
  assert.deepEqual(clock.span(), { earliestMs: null, latestMs: 0 }, "an implausible one is not confirmed");
  now.wallMs = START;
  await clock.confirm();
  assert.deepEqual((await open()).span(), at(START));
});
