import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  addMark,
  breachesOf,
  checkedSite,
  graceMs,
  lastSequenceBefore,
  periodOf,
  planSite,
  platformPeriod,
  purgeEveryMs,
  storedAtMs,
  type StreamMark,
} from "../src/index.ts";
import { catalogue, FILES, inputOf, SITE } from "./fixtures.ts";

const DAY = 86_400_000;
const NOW = Date.UTC(2026, 10, 24);

function faultsOf(text: string) {
  return planSite(inputOf(text)).faults.filter(({ path }) => !path.includes("config"));
}

function siteOf(text: string) {
  const checked = checkedSite({ text, file: "site.yaml", catalogue, accepted: {}, files: FILES });
  if ("faults" in checked) throw new Error(JSON.stringify(checked.faults));
  return checked;
}

const withPolicy = (policy: string): string => `${SITE}policy: { retention: ${policy} }\n`;

test("a period is the site's, else the manifest's, else the platform's; and the line is named", () => {
  const { instruments, site, document } = siteOf(SITE);
  const periods = Object.fromEntries(
    instruments.map((i) => [i.name, periodOf(i, site.policy.retention, document)]),
  );
  assert.deepEqual(periods["pdns"], { periodMs: 30 * DAY, by: "site.yaml:11" });
  assert.deepEqual(periods["ids"], { periodMs: 90 * DAY, by: "suricata/instrument.yaml:13" });
  assert.deepEqual(periods["capture"], { periodMs: 90 * DAY, by: "platform default" });

  const bounded = siteOf(withPolicy("{ platform: 14d }"));
  const { retention } = bounded.site.policy;
  const own = { periodMs: 14 * DAY, by: "site.yaml:17" };
  assert.deepEqual(platformPeriod(retention, bounded.document), own);
  assert.deepEqual(platformPeriod({ maximum: 7 * DAY }, bounded.document).periodMs, 7 * DAY);
  assert.deepEqual(platformPeriod({ minimum: 365 * DAY }, bounded.document).periodMs, 365 * DAY);
});

test("a period outside of the policy is a fault where it stands, or at its instrument", () => {
  assert.deepEqual(faultsOf(withPolicy("{ minimum: 7d, maximum: 90d, platform: 30d }")), []);
  const long = faultsOf(withPolicy("{ maximum: 20d }"));
  assert.deepEqual(
    long.map(({ path, line, code }) => [path, line, code]),
    [
      ["/instruments/ids", 7, "invalid-value"],
      ["/instruments/pdns/retention", 11, "invalid-value"],
    ],
  );
  assert.match(long[0]?.message ?? "", /default period of suricata of 90 d is longer than .*maximum, 20 d/);
  assert.equal(long[1]?.accepted, "a retention of at most 20 d");
  const short = faultsOf(withPolicy("{ minimum: 40d, platform: 30d }"));
  assert.deepEqual(
    short.map(({ path }) => path),
    ["/policy/retention/platform", "/instruments/pdns/retention"],
  );
  const crossed = faultsOf(withPolicy("{ minimum: 40d, maximum: 30d }"));
  assert.deepEqual(
    crossed.map(({ path }) => path),
    ["/policy/retention/minimum"],
  );
  assert.equal(faultsOf(withPolicy("{ longest: 30d }"))[0]?.code, "unknown-key");
});

test("a breach is what is older than period and grace, by report or by measure, with its proof", () => {
  const periodMs = 30 * DAY;
  const oldest = (basis: "reported" | "measured", ageMs: number) => ({
    basis,
    oldestMs: NOW - ageMs,
    record: "a file in /data/pcap",
  });
  const within = periodMs + graceMs(periodMs);
  assert.deepEqual(breachesOf(periodMs, NOW, [oldest("reported", within)], []), []);
  const found = breachesOf(periodMs, NOW, [oldest("reported", DAY), oldest("measured", within + 1)], []);
  const breach = {
    basis: "measured" as const,
    record: "a file in /data/pcap",
    oldestMs: NOW - within - 1,
    ageMs: within + 1,
    periodMs,
    sinceMs: NOW,
  };
  assert.deepEqual(found, [breach]);
  const later = breachesOf(periodMs, NOW + DAY, [oldest("measured", within + 1)], found);
  assert.equal(later[0]?.sinceMs, breach.sinceMs, "it began when it was found first");
});

test("purges come often enough for the grace to mean a fault", () => {
  for (const periodMs of [1_000, 60_000, DAY, 90 * DAY, 3650 * DAY]) {
    assert.ok(purgeEveryMs(periodMs) >= 10_000 && purgeEveryMs(periodMs) <= 3_600_000);
    assert.ok(graceMs(periodMs) >= 2 * purgeEveryMs(periodMs));
  }
});

/** Messages that come at true times, marks that are taken now and then, purges. */
test("what is purged by marks is past its period, and nothing past two steps of it stays", () => {
  const step = fc.record({
    messages: fc.integer({ min: 0, max: 5 }),
    gapMs: fc.integer({ min: 1, max: 100 }),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), fc.integer({ min: 1, max: 1000 }), (steps, periodMs) => {
      const stored: { readonly sequence: number; readonly atMs: number }[] = [];
      let marks: readonly StreamMark[] = [];
      let nowMs = NOW;
      let sequence = 0;
      for (const { messages, gapMs } of steps) {
        for (let n = 0; n < messages; n += 1) stored.push({ sequence: ++sequence, atMs: nowMs });
        const first = stored[0]?.sequence ?? sequence + 1;
        marks = addMark(marks, { sequence, atMs: nowMs }, first);
        const through = lastSequenceBefore(marks, nowMs - periodMs);
        for (const message of stored.filter((m) => m.sequence <= through)) {
          assert.ok(message.atMs < nowMs - periodMs, "only what is past its period goes");
        }
        stored.splice(0, stored.filter((m) => m.sequence <= through).length);
        assert.ok(
          stored.every((m) => m.atMs >= nowMs - periodMs),
          "and all of it",
        );
        nowMs += gapMs;
      }
    }),
  );
});

test("stamps of a clock that had jumped are put between the marks", () => {
  const marks = [
    { sequence: 10, atMs: NOW },
    { sequence: 20, atMs: NOW + DAY },
  ];
  const at = (sequence: number, stampMs: number) => storedAtMs({ sequence, stampMs }, marks);
  assert.equal(at(15, NOW + 1000), NOW + 1000);
  assert.equal(at(15, NOW + 365 * DAY), NOW + DAY);
  assert.equal(at(15, NOW - 365 * DAY), NOW);
  assert.equal(at(5, NOW - DAY), NOW - DAY, "before the first mark the stamp is all there is");
});

test("marks stay few, and those of what is gone go", () => {
  let marks: readonly StreamMark[] = [];
  for (let n = 1; n <= 3000; n += 1) marks = addMark(marks, { sequence: n, atMs: NOW + n }, 1);
  assert.ok(marks.length <= 512);
  assert.equal(lastSequenceBefore(marks, NOW + 1), 0);
  assert.deepEqual(addMark(marks, { sequence: 3001, atMs: NOW + 3001 }, 3001).length, 2);
  assert.deepEqual(
    addMark(marks, { sequence: 3000, atMs: NOW }, 1),
    marks,
    "a clock that went back adds nothing",
  );
});
