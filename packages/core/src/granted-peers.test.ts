import assert from "node:assert/strict";
import { test } from "node:test";
import { grantedPeers } from "./granted-peers.ts";

test("peers are those of any grant, in either direction, each once", () => {
  const grants = {
    events: [{ from: "ids", type: "suricata.dns", to: "pdns" }],
    messages: [
      { from: "rules", verb: "ruleset.check", to: "ids" },
      { from: "rules", verb: "ruleset.apply", to: "ids" },
    ],
    resources: [{ from: "feeds", type: "ruleset.feed", to: "rules" }],
  };
  assert.deepEqual(grantedPeers(grants, "ids"), ["pdns", "rules"]);
  assert.deepEqual(grantedPeers(grants, "rules"), ["ids", "feeds"]);
  assert.deepEqual(grantedPeers(grants, "feeds"), ["rules"]);
  assert.deepEqual(grantedPeers(grants, "stranger"), []);
});
