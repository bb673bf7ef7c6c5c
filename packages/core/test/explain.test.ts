/** Explain says what the plan does, with the line that says so. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { checkedSite, explainInstrument } from "../src/index.ts";
import { catalogue, FILES, SITE } from "./fixtures.ts";

test("what ids can see, keep and use, and which line says so", () => {
  const checked = checkedSite({
    text: SITE,
    file: "site.yaml",
    catalogue,
    accepted: {},
    files: FILES,
  });
  assert.ok("site" in checked);
  const explanation = explainInstrument("ids", checked);
  const lines =
    explanation?.sections.flatMap((s) => s.lines.map((l) => `${s.title}: ${l.text} [${l.by}]`)) ?? [];
  for (const expected of [
    'can see: the frames that match "not port 22" of span0 (eth1), copied in the kernel onto a wire that only receives [site.yaml:9]',
    "can reach: no network: it has no interface that can send [platform profile]",
    "can reach: pdns, which receives its suricata.dns events [site.yaml:14]",
    "can keep: /data/rules: 128 MiB that stay, data kept 90 d; no other instrument can read it [suricata/instrument.yaml:13]",
    "can use: the capability NET_RAW alone, to read its wire [suricata/instrument.yaml:7]",
  ]) {
    assert.ok(lines.includes(expected), `${expected}\nnot in\n${lines.join("\n")}`);
  }
  assert.equal(explainInstrument("nobody", checked), null);
});
