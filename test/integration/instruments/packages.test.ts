/** Each instrument's package: its manifest parses, and what is said twice is said alike. */
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { Settings as CaptureSettings } from "@bulkhead/instrument-capture-engine";
import { MOST_BYTES, PUBLISHED_TYPES, Settings as DownloaderSettings } from "@bulkhead/instrument-downloader";
import { Settings as EchoHoneypotSettings } from "@bulkhead/instrument-echo-honeypot";
import { Settings as HelloSettings } from "@bulkhead/instrument-hello";
import { Settings as PassiveDnsSettings } from "@bulkhead/instrument-passive-dns";
import {
  ADDRESS_VARIABLES,
  PORT_VARIABLES,
  Settings as RuleManagerSettings,
} from "@bulkhead/instrument-rule-manager";
import { EVE_TYPES, renderSuricataYaml, Settings as SuricataSettings } from "@bulkhead/instrument-suricata";
import {
  Manifest,
  RULESET_APPLY,
  RULESET_CHECK,
  RulesetApplyReply,
  RulesetCheckReply,
  RulesetRequest,
} from "@bulkhead/schema";
import { parse } from "yaml";
import * as z from "zod";

const INSTRUMENTS = join(import.meta.dirname, "../../../instruments");
const SETTINGS = {
  "capture-engine": CaptureSettings,
  downloader: DownloaderSettings,
  "echo-honeypot": EchoHoneypotSettings,
  hello: HelloSettings,
  "passive-dns": PassiveDnsSettings,
  "rule-manager": RuleManagerSettings,
  suricata: SuricataSettings,
};

async function manifestOf(name: string): Promise<Manifest> {
  return Manifest.parse(parse(await readFile(join(INSTRUMENTS, name, "instrument.yaml"), "utf8")));
}

for (const [name, settings] of Object.entries(SETTINGS)) {
  test(`${name}: manifest and settings`, async () => {
    const manifest = await manifestOf(name);
    assert.equal(manifest.name, name);
    assert.equal(manifest.config, "./config.schema.json");
    const schema: unknown = JSON.parse(await readFile(join(INSTRUMENTS, name, "config.schema.json"), "utf8"));
    assert.deepEqual(schema, JSON.parse(JSON.stringify(z.toJSONSchema(settings, { io: "input" }))));
    assert.equal(settings.safeParse({}).success, true, "everything has a default");
    const ids = manifest.needs.map(({ id }) => id);
    assert.equal(new Set(ids).size, ids.length);
  });
}

test("rule manager and suricata declare the messages between them alike, and as the schema has them", async () => {
  const [sender, recipient] = [await manifestOf("rule-manager"), await manifestOf("suricata")];
  const sent = sender.needs.filter((need) => need.kind === "message.send");
  const accepted = recipient.needs.filter((need) => need.kind === "message.accept");
  const shapes = ({ verb, request, reply }: (typeof sent)[number] | (typeof accepted)[number]) => ({
    verb,
    request,
    reply,
  });
  assert.deepEqual(sent.map(shapes), accepted.map(shapes));
  assert.deepEqual(
    accepted.map(({ verb, deadline }) => [verb, deadline]),
    [
      [RULESET_CHECK, 60_000],
      [RULESET_APPLY, 120_000],
    ],
  );
  const request = { name: "all", version: "1-0a0a0a0a0a0a", sha256: "a".repeat(64) };
  const findings = [{ line: 3, message: "unknown rule keyword" }];
  const replies = [
    { ok: true, rules: 1, findings: [] },
    { outcome: "refused", rules: 0, findings: [{ line: null, message: "" }] },
  ];
  const samples: readonly unknown[] = [
    ...[request, { ...request, sha256: "x" }, { ...request, name: "" }, { ...request, more: 1 }, {}],
    ...replies.flatMap((reply) => [
      reply,
      { ...reply, rules: -1 },
      { ...reply, findings },
      { ...reply, more: 1 },
    ]),
    { ok: "yes", rules: 1, findings: [] },
    { outcome: "done", rules: 1, findings: [] },
  ];
  const own = [RulesetCheckReply, RulesetApplyReply];
  for (const [index, { request: asked, reply }] of accepted.entries()) {
    for (const [declared, schema] of [
      [asked, RulesetRequest],
      [reply, own[index]],
    ] as const) {
      const both = z.fromJSONSchema(declared ?? {});
      for (const sample of samples) {
        const words = JSON.stringify(sample).slice(0, 80);
        assert.equal(both.safeParse(sample).success, schema?.safeParse(sample).success, words);
      }
    }
  }
});

test("the rule manager knows the variables that suricata's configuration defines", () => {
  const paths = {
    interface: "x",
    runDir: "/x",
    fifo: "/x",
    commandSocket: "/x",
    etcDir: "/x",
    rulesDir: "/x",
  };
  const yaml = renderSuricataYaml(SuricataSettings.parse({}), {
    ...paths,
    operatorRules: [],
    thresholdFile: null,
  });
  const { vars } = z
    .looseObject({ vars: z.record(z.string(), z.record(z.string(), z.unknown())) })
    .parse(parse(yaml));
  assert.deepEqual(Object.keys(vars["address-groups"] ?? {}).toSorted(), [...ADDRESS_VARIABLES].toSorted());
  assert.deepEqual(Object.keys(vars["port-groups"] ?? {}).toSorted(), [...PORT_VARIABLES].toSorted());
});

test("suricata declares one event for each EVE type, and personal data as such", async () => {
  const { needs } = await manifestOf("suricata");
  const emits = needs.filter((need) => need.kind === "event.emit");
  assert.deepEqual(
    emits.map(({ type }) => type).toSorted(),
    EVE_TYPES.map((type) => `suricata.${type}`),
  );
  for (const { type, class: kind, audience } of emits) {
    assert.equal(kind, type === "suricata.stats" ? "technical" : "personal-data", type);
    assert.equal(audience.includes("instruments"), type === "suricata.dns", type);
  }
});

test("downloader declares what its sources may be handed over as", async () => {
  const { needs } = await manifestOf("downloader");
  const published = needs.filter((need) => need.kind === "resource.publish");
  assert.deepEqual(
    published.map(({ type }) => type),
    [...PUBLISHED_TYPES],
  );
  for (const { type, size } of published) assert.equal(size, MOST_BYTES, type);
});

test("downloader's README shows settings that hold", async () => {
  const page = await readFile(join(INSTRUMENTS, "downloader", "README.md"), "utf8");
  const [site, imports] = [...page.matchAll(/```yaml\n([^]*?)```/g)].map(([, text = ""]): unknown =>
    parse(text),
  );
  const { instruments } = z.looseObject({ instruments: z.record(z.string(), z.unknown()) }).parse(site);
  const { config } = z.looseObject({ config: z.unknown() }).parse(instruments["fetch"]);
  for (const settings of [config, imports]) {
    assert.deepEqual(DownloaderSettings.safeParse(settings).error, undefined);
  }
});
