import assert from "node:assert/strict";
import { test } from "node:test";
import type { RuleRollout } from "../commands/rules.ts";
import { renderFindings, renderRulesDiff, renderRulesHistory, renderRulesStatus } from "./rules.ts";

const ROLLOUT: RuleRollout = {
  id: 4,
  created: "2026-01-02T03:04:05.000Z",
  ended: null,
  why: "feed et-open 7-3f2a9c1e04b7",
  who: "rule-manager",
  state: "refused",
  reason: "ids: found faults",
  sets: [{ name: "all", rules: 12_345 }],
  targets: [{ ids: "ids", set: "all", state: "refused", detail: "found faults" }],
  counts: { added: 3, removed: 2, changed: 1 },
  findings: 1,
};

test("the status says what is in force, what came, and why a candidate is not taken", () => {
  const source = {
    name: "et-open",
    publisher: "feeds",
    version: "7-3f2a9c1e04b7",
    delivered: "2026-01-02T03:04:05.000Z",
    rules: 12_345,
    state: "held",
    reason: "it has 9 rules, 99.9 % less than before",
  };
  const text = renderRulesStatus({
    settings: "v1",
    sources: [source],
    current: { ...ROLLOUT, id: 3, state: "applied", reason: "" },
    candidate: ROLLOUT,
    inForce: [{ ids: "ids", set: "all", sha256: "ab".repeat(32) }],
  });
  assert.match(text, /et-open +7-3f2a9c1e04b7 +feeds +2026-01-02 03:04:05 +12,345 +held +it has 9 rules/);
  assert.match(
    text,
    /In force: rollout 3, applied: feed et-open .*, by rule-manager; all 12,345 rules; \+3 -2 ~1/,
  );
  assert.match(text, /Candidate: rollout 4, refused \(ids: found faults\)/);
  assert.match(text, /ids +all +abababababab/);
  const empty = { settings: null, sources: [], current: null, candidate: null, inForce: [] };
  assert.match(renderRulesStatus(empty), /No feed was delivered yet\.\n\nNo set/);
});

test("a diff, its findings and the history are read line by line, and long ones are cut", () => {
  const change = { gid: 1, sid: 7, msg: "a rule", revBefore: null, revAfter: 2 };
  const added = Array.from({ length: 60 }, (_, n) => ({ ...change, sid: n + 1 }));
  const changed = [{ ...change, revBefore: 1 }];
  const counts = { added: 60, removed: 0, changed: 1 };
  const diff = renderRulesDiff({ rollout: 4, state: "waiting", counts, added, removed: [], changed });
  assert.match(diff, /^Rollout 4 \(waiting\): 60 added, 0 removed, 1 changed\n\+ 1:1 rev 2 {2}a rule\n/);
  assert.match(diff, /… and 11 more/);
  const place = { source: "et-open", file: "rules/dns.rules", line: 12 };
  const findings = [
    { place, message: "ids: unknown" },
    { place: null, message: "no memory" },
  ];
  assert.equal(
    renderFindings({ rollout: 4, state: "refused", reason: "ids: found faults", findings }),
    "Rollout 4: refused: ids: found faults\net-open/rules/dns.rules:12: ids: unknown\nno memory",
  );
  assert.match(
    renderRulesHistory({ rollouts: [ROLLOUT] }),
    /4 +2026-01-02 03:04:05 +feed et-open .* 3 +2 +1 +refused/,
  );
  assert.equal(renderRulesHistory({ rollouts: [] }), "There was no set yet.");
});
