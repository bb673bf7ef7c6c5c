import assert from "node:assert/strict";
import { test } from "node:test";
import type { Observed } from "@bulkhead/schema";
import type { RetentionFinding } from "./retention-finding.ts";
import { lookAtSlices } from "./slices-retention.ts";

const DAY = 86_400_000;
const NOW = Date.UTC(2026, 10, 25, 12);
const SUBJECT = { owner: "pot", period: { periodMs: 30 * DAY, by: "site.yaml:4" } };
const NOTHING: RetentionFinding = {
  reported: { outcome: "none", oldest: null, at: null, detail: "" },
  measured: { oldest: null, how: "not measured yet" },
  sizeBytes: null,
  lastPurge: null,
  overdue: [],
};
const [OLD, NEW] = ["20261026T000000Z--20261027T000000Z", "20261125T000000Z--20261126T000000Z"];

function volume(
  instrument: string,
  slices: readonly string[],
  spent: readonly string[] = [],
): Observed["volumes"][number] {
  return {
    instrument,
    id: "contacts",
    kind: "persistent",
    sizeBytes: 1,
    mounted: true,
    slices: [
      ...slices.map((slice) => ({ slice, kept: true, key: "present" as const })),
      ...spent.map((slice) => ({ slice, kept: false, key: "held" as const })),
    ],
  };
}

test("slices are counted, and when the first of them ends is known", () => {
  const { finding, oldest } = lookAtSlices(
    SUBJECT,
    [volume("pot", [NEW, OLD]), volume("other", [])],
    NOTHING,
    NOW,
  );
  assert.deepEqual(finding.measured, { oldest: "2026-10-26T00:00:00.000Z", how: "2 slices of 1 d" });
  assert.equal(finding.nextEndMs, Date.UTC(2026, 10, 26));
  assert.deepEqual(
    oldest.map(({ oldestMs, record }) => [oldestMs, record]),
    [[Date.UTC(2026, 9, 27), `slice ${OLD} of /data/contacts`]],
    "what may be in it is judged by its end",
  );
});

test("those that ended since the last look are counted as purged, and one without a key counts as gone", () => {
  const first = lookAtSlices(SUBJECT, [volume("pot", [OLD, NEW])], NOTHING, NOW).finding;
  const then = lookAtSlices(SUBJECT, [volume("pot", [NEW], [OLD])], first, NOW).finding;
  assert.deepEqual(then.lastPurge, { at: "2026-11-25T12:00:00.000Z", removed: 1 });
  assert.deepEqual(
    lookAtSlices(SUBJECT, [volume("pot", [NEW])], then, NOW + DAY).finding.lastPurge,
    then.lastPurge,
  );
});

test("before there are any nothing is overdue", () => {
  const { finding, oldest } = lookAtSlices(SUBJECT, [], NOTHING, NOW);
  assert.deepEqual([finding.measured.how, finding.nextEndMs, oldest], ["no slices yet", null, []]);
});
