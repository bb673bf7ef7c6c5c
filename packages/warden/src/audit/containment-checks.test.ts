import assert from "node:assert/strict";
import { test } from "node:test";
import { type AuditEntry, NOTHING_OBSERVED, type Observed } from "@bulkhead/schema";
import { NOTHING } from "../hold/nothing-desired.ts";
import { ContainmentChecks } from "./containment-checks.ts";

const HOUR_MS = 3_600_000;
const CONTAINED: Observed = {
  ...NOTHING_OBSERVED,
  instruments: [
    { name: "ids", specDigest: "d", state: "running", pid: 7, deviations: [] },
    { name: "pdns", specDigest: "d", state: "stopped", pid: null, deviations: [] },
  ],
  taps: [{ instrument: "ids", engine: "capture", wire: "connected", filter: null }],
};
const DRIFTED: Observed = {
  ...CONTAINED,
  instruments: CONTAINED.instruments.map((i) => ({ ...i, deviations: ["another seccomp filter"] })),
};

function makeChecks() {
  const entries: AuditEntry[] = [];
  const clock = { nowMs: 0, next: async (): Promise<Observed> => CONTAINED };
  const checks = new ContainmentChecks({
    audit: { append: async (kind, subject, detail) => void entries.push({ kind, subject, detail }) },
    nowMs: () => clock.nowMs,
  });
  const counted = checks.counted(() => clock.next());
  return { entries, clock, checks, look: () => counted(NOTHING) };
}

test("containment checks: the first look after the start is recorded at once, with what was read back", async () => {
  const { entries, look } = makeChecks();
  assert.equal(await look(), CONTAINED);
  assert.equal(entries.length, 1);
  const { first, last, ...figures } = entries[0]?.detail ?? {};
  assert.equal(first, last);
  assert.deepEqual(figures, {
    looks: 1,
    failed: 0,
    differed: 0,
    instruments: "ids, pdns",
    running: 1,
    volumes: 0,
    spans: 0,
    taps: 1,
    segments: 0,
    ports: 0,
    nics: 0,
    egress: false,
  });
});

test("containment checks: an hour's looks are one entry; those that differed or failed are counted apart", async () => {
  const { entries, clock, look } = makeChecks();
  await look();
  for (let minute = 0; minute < 59; minute += 1) {
    clock.nowMs += HOUR_MS / 60;
    await look();
  }
  clock.next = async () => DRIFTED;
  await look();
  clock.next = () => Promise.reject(new Error("the runtime is away"));
  await assert.rejects(look(), /runtime is away/);
  assert.equal(entries.length, 1);
  clock.nowMs += HOUR_MS / 60;
  await assert.rejects(look(), /runtime is away/);
  const { looks, failed, differed, instruments } = entries[1]?.detail ?? {};
  assert.deepEqual([entries.length, looks, failed, differed, instruments], [2, 62, 2, 1, "ids, pdns"]);
});

test("containment checks: what was counted when warden ends is recorded, and nothing where nobody looked", async () => {
  const { entries, checks, look } = makeChecks();
  await checks[Symbol.asyncDispose]();
  assert.equal(entries.length, 0);
  await look();
  await look();
  await checks[Symbol.asyncDispose]();
  assert.deepEqual(
    entries.map(({ detail }) => detail["looks"]),
    [1, 1],
  );
});
