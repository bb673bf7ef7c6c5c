/** Each instrument's package: its manifest parses, and what is said twice is said alike. */
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { Settings as CaptureSettings } from "@bulkhead/instrument-capture-engine";
import { Settings as EchoHoneypotSettings } from "@bulkhead/instrument-echo-honeypot";
import { Settings as HelloSettings } from "@bulkhead/instrument-hello";
import { Settings as PassiveDnsSettings } from "@bulkhead/instrument-passive-dns";
import { EVE_TYPES, Settings as SuricataSettings } from "@bulkhead/instrument-suricata";
import { Manifest } from "@bulkhead/schema";
import { parse } from "yaml";
import * as z from "zod";

const INSTRUMENTS = join(import.meta.dirname, "../../../instruments");
const SETTINGS = {
  "capture-engine": CaptureSettings,
  "echo-honeypot": EchoHoneypotSettings,
  hello: HelloSettings,
  "passive-dns": PassiveDnsSettings,
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
