import assert from "node:assert/strict";
import { test } from "node:test";
import type { HealthReport } from "@bulkhead/schema";
import { type InstrumentFacts, judgeInstrument } from "./instrument-state.ts";

const REPORT: HealthReport = {
  state: "ready",
  detail: "",
  restarts: 0,
  configVersion: "v1",
  packets: null,
  events: { acknowledged: 0, refused: 0, waiting: 0 },
  oldestRecord: null,
};
const RUNNING = { name: "ids", specDigest: null, state: "running", pid: 7, deviations: [] } as const;
const WELL: InstrumentFacts = {
  enabled: true,
  stoppedByHand: false,
  observed: { ...RUNNING, deviations: [] },
  crash: null,
  problems: [],
  locked: false,
  pending: [],
  wire: "connected",
  waits: [],
  unguarded: null,
  config: { version: "v1", outcome: "applied", faults: [] },
  report: REPORT,
  silentMs: 1000,
};

interface Case {
  readonly name: string;
  readonly facts: Partial<InstrumentFacts>;
  readonly state: string;
  readonly detail: RegExp;
}

const CASES: readonly Case[] = [
  { name: "all is well", facts: {}, state: "running", detail: /^$/ },
  { name: "no tap wanted", facts: { wire: null }, state: "running", detail: /^$/ },
  { name: "locked", facts: { locked: true, problems: ["no key"] }, state: "locked", detail: /no key/ },
  {
    name: "not enabled",
    facts: { enabled: false, observed: null },
    state: "stopped",
    detail: /not enabled/,
  },
  {
    name: "stopped by hand, container still there",
    facts: { stoppedByHand: true },
    state: "degraded",
    detail: /not stopped yet/,
  },
  { name: "no container", facts: { observed: null }, state: "starting", detail: /being made/ },
  {
    name: "no container, and why",
    facts: { observed: null, problems: ["disk full"] },
    state: "degraded",
    detail: /disk full/,
  },
  {
    name: "waits for a device",
    facts: { observed: null, pending: ["waits for device eth1"] },
    state: "pending",
    detail: /eth1/,
  },
  {
    name: "ended by itself",
    facts: {
      observed: { ...RUNNING, state: "stopped", deviations: [] },
      crash: { instrument: "ids", count: 3, nextStart: "2026-01-01T00:00:00Z", reason: "exit 1" },
    },
    state: "degraded",
    detail: /crash loop: ended by itself 3 times \(exit 1\); next start at 2026/,
  },
  {
    name: "frozen",
    facts: { observed: { ...RUNNING, state: "frozen", deviations: [] } },
    state: "degraded",
    detail: /frozen/,
  },
  {
    name: "a report does not hide a deviation",
    facts: { observed: { ...RUNNING, deviations: ["a capability too many"] } },
    state: "degraded",
    detail: /capability too many/,
  },
  {
    name: "runs, and its device is absent",
    facts: { waits: ["waits for device eth1, which is absent"] },
    state: "pending",
    detail: /waits for device eth1/,
  },
  {
    name: "not made, and its device is absent",
    facts: { observed: null, waits: ["waits for device eth1, which is absent"] },
    state: "pending",
    detail: /waits for device eth1/,
  },
  {
    name: "span without a guard",
    facts: { unguarded: "eth1" },
    state: "degraded",
    detail: /eth1 is not guarded/,
  },
  { name: "broken tap", facts: { wire: "broken" }, state: "degraded", detail: /tap is broken/ },
  { name: "tap not there yet", facts: { wire: "none" }, state: "starting", detail: /tap/ },
  {
    name: "no report yet",
    facts: { report: null, silentMs: 5000 },
    state: "starting",
    detail: /not reported yet/,
  },
  {
    name: "never reported",
    facts: { report: null, silentMs: 61_000 },
    state: "degraded",
    detail: /has not reported/,
  },
  {
    name: "stale report",
    facts: { silentMs: 20_001 },
    state: "degraded",
    detail: /not reported for 20 s/,
  },
  { name: "report just fresh", facts: { silentMs: 20_000 }, state: "running", detail: /^$/ },
  {
    name: "refused configuration",
    facts: {
      config: {
        version: "v2",
        outcome: "refused",
        faults: [{ file: "local.rules", line: 3, message: "bad rule" }, { message: "other" }],
      },
    },
    state: "degraded",
    detail: /refused its configuration v2: local\.rules:3: bad rule \(and 1 more\)/,
  },
  {
    name: "first configuration on its way",
    facts: {
      config: { version: "v1", outcome: "pending", faults: [] },
      report: { ...REPORT, configVersion: null },
    },
    state: "starting",
    detail: /first configuration/,
  },
  {
    name: "new configuration on its way",
    facts: { config: { version: "v2", outcome: "pending", faults: [] } },
    state: "running",
    detail: /being delivered/,
  },
  {
    name: "runs the accepted version while a wider one waits",
    facts: { pending: ["its newer version asks for net.egress"] },
    state: "running",
    detail: /newer version/,
  },
  {
    name: "says that it is degraded",
    facts: { report: { ...REPORT, state: "degraded", detail: "tool ended" } },
    state: "degraded",
    detail: /tool ended/,
  },
];

for (const { name, facts, state, detail } of CASES) {
  test(`instrument state: ${name}`, () => {
    const judged = judgeInstrument({ ...WELL, ...facts });
    assert.equal(judged.state, state);
    assert.match(judged.detail, detail);
  });
}
