/** What health says. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { DownloaderStatus, ImportStatus } from "./downloader.ts";
import { healthOf } from "./health-text.ts";
import { NEW_RECORD } from "./source-record.ts";

type Status = DownloaderStatus["sources"][number];

function source(name: string, change: Partial<Status> = {}): Status {
  const { formatVersion: _, ...record } = NEW_RECORD;
  return {
    ...record,
    name,
    url: "https://rules.example.net/feed",
    as: { type: "ruleset.feed", name },
    state: "idle",
    isDelivered: true,
    deliveryProblem: null,
    storeProblem: null,
    ...change,
  };
}

const AT = "2026-01-01T00:00:00Z";
const timeout = { at: AT, kind: "failed", reason: "timeout", detail: "it fell silent" } as const;
const bundle = (reason: string | null): ImportStatus => ({
  bundle: "b.tar",
  at: AT,
  problem: null,
  files: [{ source: "a", outcome: reason === null ? "new" : "refused", reason, detail: "" }],
});

test("how many sources there are, and which fail", () => {
  assert.deepEqual(healthOf({ sources: [], imports: [] }), { state: "ready", detail: "0 sources" });
  const sources = [source("a"), source("b", { problem: timeout }), source("c", { deliveryProblem: "away" })];
  assert.deepEqual(healthOf({ sources, imports: [bundle("checksum")] }), {
    state: "degraded",
    detail: "3 sources; failing: b (timeout), c (not handed over); not imported: b.tar (a: checksum)",
  });
});

test("a bundle that is older than what is there is no failure: it lies beside the site until it is taken away", () => {
  const { state } = healthOf({ sources: [source("a")], imports: [bundle("older"), bundle(null)] });
  assert.equal(state, "ready");
});
