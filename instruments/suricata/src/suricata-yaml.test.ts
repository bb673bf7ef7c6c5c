import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { Settings } from "./settings.ts";
import { renderSuricataYaml } from "./suricata-yaml.ts";

const PATHS = {
  interface: "mon0",
  runDir: "/data/run/suricata",
  fifo: "/data/run/suricata/eve.fifo",
  commandSocket: "/data/run/suricata/command.sock",
  etcDir: "/etc/suricata",
  operatorRules: ["/data/rules/current/000-local.rules"],
  thresholdFile: null,
  rulesDir: "/data/rules",
};

test("the configuration of the defaults is the committed one", async (t) => {
  t.assert.snapshot(renderSuricataYaml(Settings.parse({}), PATHS), { serializers: [(text) => String(text)] });
});

test("settings are where they belong, and only what was asked for is written", () => {
  const yaml = renderSuricataYaml(
    Settings.parse({
      homeNet: ["192.0.2.0/24", "!192.0.2.7", "2001:db8::/32"],
      externalNet: ["198.51.100.0/24"],
      eveTypes: ["alert", "ftp_data"],
      communityId: false,
      distributionRules: false,
      memory: { ringPackets: 2_048, flowMiB: 9 },
    }),
    PATHS,
  );
  assert.match(yaml, /HOME_NET: "\[192\.0\.2\.0\/24,!192\.0\.2\.7,2001:db8::\/32\]"/);
  assert.match(yaml, /EXTERNAL_NET: "\[198\.51\.100\.0\/24\]"/);
  assert.match(yaml, /community-id: false/);
  assert.match(yaml, /ring-size: 2048/);
  assert.match(yaml, /flow:\n {2}memcap: 9mb/);
  assert.match(yaml, /rule-files: \[\/data\/rules\/current\/000-local\.rules\]/);
  const types = /\n {6}types:\n((?: {8}.*\n)+)/.exec(yaml)?.[1] ?? "";
  assert.deepEqual(types.match(/(?<=- )[a-z0-9-]+/g), ["alert", "ftp"]);
});

test("thresholds of a rule manager's set are read from beside it", () => {
  const thresholdFile = "/data/rules/current/001-3-abc.threshold";
  const yaml = renderSuricataYaml(Settings.parse({}), { ...PATHS, thresholdFile });
  assert.match(yaml, /^threshold-file: \/data\/rules\/current\/001-3-abc\.threshold$/m);
});

test("nothing that YAML or Suricata would read otherwise gets into an address", () => {
  for (const bad of [
    "any",
    "10.0.0.0/8]",
    "$HOME_NET",
    "10.0.0.0/8\n",
    "::1 ",
    "a:b",
    "",
    "10.0.0",
    "1.2.3.4,5.6.7.8",
  ]) {
    assert.equal(Settings.safeParse({ homeNet: [bad] }).success, false, JSON.stringify(bad));
  }
  assert.equal(Settings.safeParse({ homeNet: [] }).success, false);
  assert.equal(Settings.safeParse({ eveTypes: ["drop"] }).success, false);
  assert.equal(Settings.safeParse({ unknown: 1 }).success, false);
});

test("the committed snapshot exists", async () => {
  const text = await readFile(join(import.meta.dirname, "suricata-yaml.test.ts.snapshot"), "utf8");
  assert.match(text, /tpacket-v3: yes/);
});
