import assert from "node:assert/strict";
import { test } from "node:test";
import { stripVTControlCharacters } from "node:util";
import type { ResourcesReport } from "@bulkhead/schema";
import { renderResources } from "./resources.ts";

const FEED: ResourcesReport["resources"][number] = {
  from: "feeds",
  type: "ruleset.feed",
  name: "et-open",
  version: "7-3f2a9c1e04b7",
  sha256: `3f2a9c1e04b7${"0".repeat(52)}`,
  sizeBytes: 3 * 2 ** 20,
  mediaType: "text/plain",
  deliveredAt: "2026-01-01T00:00:00.000Z",
  receivers: [
    { to: "rules", state: "failed", detail: "line 3", current: "7-3f2a9c1e04b7", lastGood: "5-aaaaaaaaaaaa" },
    { to: "pdns", state: "not-there", detail: "no space", current: "6-bbbbbbbbbbbb", lastGood: null },
  ],
};

test("one line for each receiver, with what it has", () => {
  const nowMs = Date.parse("2026-01-01T02:00:00Z");
  const text = renderResources({ resources: [FEED], incoming: [], problems: ["no room"] }, nowMs);
  assert.deepEqual(
    stripVTControlCharacters(text)
      .split("\n")
      .map((line) => line.replaceAll(/ {2,}/g, " | ")),
    [
      "RESOURCE | TYPE | VERSION | SHA-256 | SIZE | FROM | TO | STATE | AGE",
      "et-open | ruleset.feed | 7 | 3f2a9c1e04b7 | 3 MiB | feeds | rules | has it, failed, last good 5: line 3 | 2 h",
      "et-open | ruleset.feed | 7 | 3f2a9c1e04b7 | 3 MiB | feeds | pdns | has 6, not-there: no space | 2 h",
      "",
      "no room",
    ],
  );
});

test("what nobody receives, what is coming in, and nothing at all", () => {
  const alone = renderResources(
    {
      resources: [{ ...FEED, receivers: [] }],
      incoming: [
        { from: "feeds", type: "watch-list", name: "domains", sizeBytes: 2048, receivedBytes: 1024 },
      ],
      problems: [],
    },
    Date.parse(FEED.deliveredAt),
  );
  assert.match(stripVTControlCharacters(alone), /feeds +nobody/);
  assert.match(stripVTControlCharacters(alone), /domains +watch-list +feeds +1 KiB +2 KiB/);
  assert.equal(
    renderResources({ resources: [], incoming: [], problems: [] }, 0),
    "No resource was published.",
  );
});
