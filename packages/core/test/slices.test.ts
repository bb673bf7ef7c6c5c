import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type Catalogue, type Observed, parseSlice, sliceAt, sliceName, type Step } from "@bulkhead/schema";
import {
  type ClockHistory,
  type ClockReading,
  checkedSite,
  type Desired,
  judgeClock,
  parseManifest,
  planSite,
  planSteps,
  sliceDueMs,
  slicesToOpen,
  type TimeSpan,
  timeSpanOf,
} from "../src/index.ts";
import { achieve, emptyHost } from "./fixtures.ts";

const HOUR = 3_600_000;
const DAY = 24 * HOUR;
const START = Date.UTC(2026, 10, 24, 12);
const POLICY = { lengthMs: DAY, periodMs: 30 * DAY };

const MANIFEST = `apiVersion: bulkhead/v1
name: trap
version: 1.0.0
title: Trap
role: active
image: { base: debian }
run: { command: [/opt/instrument/agent] }
resources: { memory: 64MiB, cpu: 1, processes: 8 }
needs:
  - { id: contacts, kind: storage.persistent, size: 64MiB, retention: { default: 30d }, slices: true }
  - { id: whole, kind: storage.persistent, size: 64MiB }
`;

function catalogueOf(text: string, digit = "1"): Catalogue {
  const parsed = parseManifest(text, "trap/instrument.yaml");
  assert.ok(parsed.ok);
  const found = { manifestFile: "trap/instrument.yaml", manifestText: text, configSchema: null };
  return { trap: { manifest: parsed.value, digest: digit.repeat(64), ...found } };
}
const catalogue = catalogueOf(MANIFEST);

const site = (entry: string) => `apiVersion: bulkhead/v1
sensor: demo
instruments:
  trap: { package: trap, ${entry} }
`;

const reading = (text: string) => ({ text, file: "site.yaml", catalogue, accepted: {}, files: [] });

function plan(text: string, observed: Observed = emptyHost()) {
  return planSite({ ...reading(text), rejectedFilters: {}, observed, stopped: [], held: [] });
}

function desiredOf(text: string): Desired {
  const checked = checkedSite(reading(text));
  assert.ok(!("faults" in checked));
  return checked.desired;
}

const DAILY = desiredOf(site("slices: { contacts: 1d }"));
const at = (atMs: number): TimeSpan => ({ earliestMs: atMs, latestMs: atMs });
const kinds = (steps: readonly Step[]) => steps.map(({ kind, target }) => `${kind} ${target}`);
const named = (atMs: number, lengthMs = DAY) => sliceName(sliceAt(atMs, lengthMs));

/** Takes all steps, and mounts the volumes of what was started. */
function hold(
  desired: Desired,
  observed: Observed,
  time: TimeSpan,
): { host: Observed; steps: readonly Step[] } {
  const steps = planSteps({ desired, observed, stopped: [], held: [], time });
  return { steps, host: steps.reduce((host, step) => achieve(host, step), observed) };
}

/** An installation that runs, with slices open. */
function running(desired: Desired, time: TimeSpan): Observed {
  return hold(desired, hold(desired, emptyHost(), time).host, time).host;
}

function slicesOf(host: Observed): readonly string[] {
  return host.volumes.flatMap(({ slices = [] }) => slices.map(({ slice }) => slice)).toSorted();
}

test("a site has a volume cut whose tool writes by slice, and nothing else about it changes", () => {
  const whole = plan(site("retention: 30d"));
  const cut = plan(site("retention: 30d, slices: { contacts: 12h }"));
  assert.deepEqual(whole.faults, []);
  assert.deepEqual(cut.faults, []);
  const made = cut.steps.find((step) => step.kind === "volume.create" && step.id === "contacts");
  assert.deepEqual(made?.kind === "volume.create" && made.slices, {
    lengthMs: 12 * HOUR,
    periodMs: 30 * DAY,
  });
  assert.deepEqual(kinds(cut.steps), kinds(whole.steps));
});

test("what cannot be cut is refused, each with what would be accepted", () => {
  const faults = (entry: string) =>
    plan(site(entry)).faults.map(({ path, code, message }) => `${path} ${code}: ${message}`);
  assert.deepEqual(faults("slices: { whole: 1d, none: 1d }"), [
    "/instruments/trap/slices/whole not-needed: trap does not write a volume whole by slice",
    "/instruments/trap/slices/none not-needed: trap does not write a volume none by slice",
  ]);
  const of = "/instruments/trap/slices/contacts invalid-value:";
  assert.deepEqual(faults("slices: { contacts: 5s }, retention: 1m"), [
    `${of} slices of 5 s are shorter than 10 s`,
  ]);
  assert.deepEqual(faults("slices: { contacts: 2d }, retention: 1d"), [
    `${of} slices of 2 d are longer than a period of 1 d`,
  ]);
  assert.deepEqual(faults("slices: { contacts: 1h }"), [
    `${of} slices of 1 h in a period of 30 d are 720; 400 is the most`,
  ]);
  assert.deepEqual(faults("slices: { contacts: 1h }, retention: 16d"), []);
});

test("a volume that is there stays as it is", () => {
  const sliced = running(DAILY, at(START));
  const [fault] = plan(site("retention: 30d"), sliced).faults;
  assert.equal(fault?.code, "volume-differs");
  assert.match(fault.message, /trap\/contacts is there already, and cut in slices/);
  const whole = hold(desiredOf(site("retention: 30d")), emptyHost(), at(START)).host;
  assert.deepEqual(
    plan(site("slices: { contacts: 1d }"), whole).faults.map(({ path, code }) => `${path} ${code}`),
    ["/instruments/trap/slices/contacts volume-differs"],
  );
  assert.deepEqual(
    plan(site("slices: { contacts: 12h }"), sliced).faults,
    [],
    "another length is for those to come",
  );
});

test("a package that learns to write by slice asks for nothing more", () => {
  const former = catalogueOf(MANIFEST.replace(", slices: true", ""));
  const next = catalogueOf(MANIFEST, "2");
  const input = { ...reading(site("slices: { contacts: 1d }")), catalogue: next, accepted: former };
  assert.deepEqual(
    planSite({ ...input, rejectedFilters: {}, observed: emptyHost(), stopped: [], held: [] }).pending,
    [],
  );
});

test("today's slice and tomorrow's are there, and each goes when all that it is for is past the period", () => {
  let host = running(DAILY, at(START));
  assert.deepEqual(slicesOf(host), [named(START), named(START + DAY)]);
  assert.deepEqual(hold(DAILY, host, at(START)).steps, [], "nothing more from the achieved state");
  for (let day = 1; day < 40; day += 1) {
    const now = START + day * DAY;
    host = hold(DAILY, host, at(now)).host;
    assert.ok(slicesOf(host).includes(named(now)) && slicesOf(host).includes(named(now + DAY)));
  }
  // Noon of a day: 30 whole days are kept, the half of the 31st that is not past, today and tomorrow.
  assert.equal(slicesOf(host).length, 32);
});

test("what is due is known in advance", () => {
  const host = running(DAILY, at(START));
  assert.equal(
    sliceDueMs({ desired: DAILY, observed: host, stopped: [], held: [], time: at(START) }),
    12 * HOUR,
  );
  const desired = desiredOf(site("slices: { contacts: 1d }, retention: 36h"));
  const short = running(desired, at(START));
  const time = at(START + 44 * HOUR);
  assert.equal(sliceDueMs({ desired, observed: short, stopped: [], held: [], time }), 4 * HOUR);
});

test("nothing is opened while the vault is locked; what is due is destroyed all the same", () => {
  const host = running(DAILY, at(START));
  const late = at(START + 40 * DAY);
  const steps = planSteps({
    desired: DAILY,
    observed: host,
    stopped: [],
    held: [],
    time: late,
    locked: true,
  });
  assert.deepEqual([...new Set(steps.map(({ kind }) => kind))], ["slice.destroy"]);
});

test("an instrument that is stopped loses its slices all the same", () => {
  const host = running(DAILY, at(START));
  const closed = {
    ...host,
    volumes: host.volumes.map((v) => ({ ...v, mounted: false })),
    instruments: host.instruments.map((i) => ({ ...i, state: "stopped" as const })),
  };
  const steps = planSteps({
    desired: DAILY,
    observed: closed,
    stopped: ["trap"],
    held: [],
    time: at(START + 60 * DAY),
  });
  assert.deepEqual(
    kinds(steps),
    [named(START), named(START + DAY)].map((slice) => `slice.destroy trap/contacts/${slice}`),
  );
});

test("files that are open of a slice that is gone cost an instrument its run", () => {
  const host = running(DAILY, at(START));
  const slice = named(START - 60 * DAY);
  const clung = (key: "held" | "absent"): Observed => ({
    ...host,
    volumes: host.volumes.map((v) =>
      v.slices === undefined ? v : { ...v, slices: [{ slice, kept: false, key }, ...v.slices] },
    ),
  });
  assert.deepEqual(kinds(hold(DAILY, clung("held"), at(START)).steps), [
    "instrument.stop trap",
    "instrument.start trap",
  ]);
  assert.deepEqual(kinds(hold(DAILY, clung("absent"), at(START)).steps), [
    `slice.destroy trap/contacts/${slice}`,
  ]);
});

test("what may be past its period is not opened, and is destroyed only when it is past it for certain", () => {
  const kept = [named(START - 40 * DAY), named(START - 5 * DAY)];
  assert.deepEqual(slicesToOpen(POLICY, START, kept), [kept[1], named(START), named(START + DAY)]);
  const host: Observed = running(DAILY, at(START - 40 * DAY));
  const doubtful = planSteps({
    desired: DAILY,
    observed: host,
    stopped: [],
    held: [],
    time: { earliestMs: START - 39 * DAY, latestMs: START },
  });
  assert.deepEqual(
    kinds(doubtful).filter((step) => step.startsWith("slice.destroy")),
    [],
  );
});

test("a clock without a battery makes nothing", () => {
  assert.deepEqual(slicesToOpen(POLICY, 0, []), []);
});

test("a clock that jumps about makes no crowd of slices", () => {
  const kept = Array.from({ length: 801 }, (_, day) => named(START + day * DAY));
  assert.deepEqual(slicesToOpen(POLICY, START - 1000 * DAY, kept).length, kept.length);
});

/** A host whose true time and clock that cannot be set are right, and whose wall clock jumps. */
const JUMPS = fc.array(
  fc.record({
    passMs: fc.integer({ min: 0, max: 5 * DAY }),
    jumpMs: fc.integer({ min: -400 * DAY, max: 400 * DAY }),
  }),
  { minLength: 1, maxLength: 30 },
);

test("whatever the wall clock does within a boot, no slice goes while it may hold what is younger than the period", () => {
  fc.assert(
    fc.property(JUMPS, (jumps) => {
      let [trueMs, wallOffMs] = [START, 0];
      let history: ClockHistory | null = null;
      let host = emptyHost();
      /** Until when something was written into it: what it was open for is what the instrument could choose. */
      const written = new Map<string, number>();
      for (const { passMs, jumpMs } of jumps) {
        trueMs += passMs;
        const seen: ClockReading = { wallMs: trueMs + wallOffMs, uptimeMs: trueMs - START, bootId: "one" };
        const verdict = judgeClock(history, seen);
        history = verdict.history;
        const span = timeSpanOf(verdict, seen.wallMs);
        assert.ok(span.earliestMs === null || span.earliestMs <= span.latestMs);
        const steps = planSteps({ desired: DAILY, observed: host, stopped: [], held: [], time: span });
        for (const step of steps) {
          if (step.kind === "slice.destroy") {
            const times = parseSlice(step.slice);
            assert.ok(times !== null && times.endMs + POLICY.periodMs <= trueMs, "by its name");
            const last = written.get(step.slice) ?? -Infinity;
            assert.ok(
              last + POLICY.periodMs <= trueMs,
              "by what was written at the newest time that it may be",
            );
          }
          host = achieve(host, step);
        }
        for (const step of planSteps({ desired: DAILY, observed: host, stopped: [], held: [], time: span })) {
          host = achieve(host, step);
        }
        const newest = named(span.latestMs);
        if (slicesOf(host).length < 800) assert.ok(slicesOf(host).includes(newest), "there is one for now");
        if (slicesOf(host).length < 800)
          assert.ok(slicesOf(host).includes(named(span.latestMs + DAY)), "and one ahead");
        written.set(newest, trueMs);
        wallOffMs = jumpMs;
      }
    }),
    { numRuns: 150 },
  );
});
