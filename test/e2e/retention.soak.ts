/**
 * Retention as an operator has it: on a real sensor with Suricata and passive DNS, `bulkhead
 * retention` says what is kept, and `retention erase` makes it be forgotten.
 */
import assert from "node:assert/strict";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { EraseReply, RetentionReport } from "@bulkhead/schema";
import { eventually, sendRawFrames } from "@bulkhead/testkit";
import { LAUNCHER, runProgram } from "./cli.ts";
import { dnsFrames } from "./dns-frames.ts";
import { DnsRecord } from "./answers.ts";
import { FAR_END, makeSensorStand, type SensorStand } from "./sensor-stand.ts";
import { ENGINE_LINE, idsLine } from "./stand-site.ts";

const INSTALLATION = "ret";
const DAY = 86_400_000;
let stand: SensorStand;

async function bulkhead(...args: readonly string[]) {
  return runProgram(LAUNCHER, [...args, "--installation", INSTALLATION]);
}

/** How many names of this one passive DNS keeps. */
async function kept(name: string): Promise<number> {
  const { stdout } = await bulkhead("query", "passive-dns", name, "--json");
  return stdout.split("\n").flatMap((line) => (line === "" ? [] : [DnsRecord.parse(JSON.parse(line))]))
    .length;
}

before(async () => {
  stand = await makeSensorStand(INSTALLATION);
  const rest = `policy: { retention: { maximum: 400d, platform: 20d } }
grants:
  events: [ { from: ids, type: suricata.dns, to: pdns } ]
fleet:
  ui: { pdns: { roles: [analyst] } }
`;
  await stand.apply(
    stand.siteText(
      `${ENGINE_LINE}\n${idsLine()}\n  pdns: { package: passive-dns, retention: 30d, storage: { db: 64MiB } }`,
      rest,
    ),
  );
  await stand.settled();
});
after(async () => stand[Symbol.asyncDispose]());

test("a period outside of the policy is refused, with its line", async () => {
  const text = stand.siteText(
    `  pdns: { package: passive-dns, retention: 500d }`,
    `policy: { retention: { maximum: 400d } }`,
  );
  const { faults } = await stand.plan(text);
  const fault = faults.find(({ path }) => path === "/instruments/pdns/retention");
  assert.equal(fault?.code, "invalid-value");
  assert.equal(fault?.line, text.split("\n").findIndex((line) => line.includes("pdns:")) + 1);
});

test("what is kept is listed, with who says so; and it is forgotten at the operator's word", async () => {
  const frames = dnsFrames("kept.example", [192, 0, 2, 7]);
  await eventually("passive DNS has it", async () => {
    await sendRawFrames({ tools: stand.tools, namespace: stand.network.name, device: FAR_END, frames });
    return (await kept("kept.example")) > 0;
  });
  const report = await eventually("all was looked at", async () => {
    const { stdout } = await bulkhead("retention", "--json");
    const found = RetentionReport.parse(JSON.parse(stdout));
    const records = found.rows.find(({ owner, store }) => owner === "pdns" && store === "records");
    return records?.reported.outcome === "answered" ? found : null;
  });
  const row = (owner: string, store: string) => {
    const found = report.rows.find((r) => r.owner === owner && r.store === store);
    assert.ok(found !== undefined, `${owner} ${store} is listed`);
    return found;
  };
  assert.equal(report.clock.state, "agrees");
  assert.equal(row("pdns", "records").periodMs, 30 * DAY);
  assert.match(row("pdns", "records").by, /^site\.yaml:\d+$/);
  assert.ok((row("pdns", "records").sizeBytes ?? 0) > 0, "warden says how full its volume is");
  assert.equal(row("platform", "events").periodMs, 20 * DAY);
  assert.ok(row("ids", "events").periodMs !== null);
  assert.deepEqual(
    report.rows.flatMap(({ breaches }) => breaches),
    [],
  );
  const { stdout: table } = await bulkhead("retention");
  assert.match(table, /pdns records +30 d +site\.yaml:\d+/);

  const past = await bulkhead("retention", "erase", "pdns", "--before", "2026-01-01T00:00:00Z", "--json");
  assert.equal(past.exitCode, 0, past.stderr);
  assert.equal(EraseReply.parse(JSON.parse(past.stdout)).records.removed, 0);
  assert.equal(await kept("kept.example"), 1, "what is younger stays");

  const erased = await bulkhead("retention", "erase", "pdns", "--json");
  assert.equal(erased.exitCode, 0, erased.stderr + erased.stdout);
  const reply = EraseReply.parse(JSON.parse(erased.stdout));
  assert.deepEqual([reply.complete, reply.records.outcome], [true, "answered"]);
  assert.ok((reply.records.removed ?? 0) >= 1);
  assert.equal(await kept("kept.example"), 0);

  const ids = EraseReply.parse(JSON.parse((await bulkhead("retention", "erase", "ids", "--json")).stdout));
  assert.ok(ids.events > 0, "its events are gone from the broker");
  assert.deepEqual(await stand.events("suricata.dns", "ids"), []);
});

test("what is destroyed with its keys takes its stored events along", async () => {
  const frames = dnsFrames("destroyed.example", [192, 0, 2, 8]);
  await eventually("both have it", async () => {
    await sendRawFrames({ tools: stand.tools, namespace: stand.network.name, device: FAR_END, frames });
    return (await stand.events("suricata.dns", "ids")).length > 0 && (await kept("destroyed.example")) > 0;
  });
  for (const instrument of ["ids", "pdns"]) {
    const destroyed = await bulkhead("vault", "destroy", instrument, "--yes");
    assert.equal(destroyed.exitCode, 0, destroyed.stderr);
    await stand.audited("retention.erase", instrument, /"erasure"/);
  }
  assert.deepEqual(await stand.events("suricata.dns", "ids"), []);
  await stand.settled();
  assert.equal(await kept("destroyed.example"), 0, "what was made anew begins empty");
});

test("the processes' own logs, which lie in clear, hold nothing of what instruments saw", async () => {
  const texts = await Promise.all(
    (await readdir(stand.layout.logDir, { recursive: true, withFileTypes: true }))
      .filter((entry) => entry.isFile())
      .map((entry) => readFile(join(entry.parentPath, entry.name), "utf8")),
  );
  assert.ok(texts.some((text) => text.includes("sensord is up")));
  for (const text of texts) assert.doesNotMatch(text, /(?:kept|destroyed)\.example/);
});

test("what cannot be erased says why", async () => {
  const unknown = await bulkhead("retention", "erase", "nobody", "--json");
  assert.equal(unknown.exitCode, 1);
  assert.match(unknown.stdout, /unknown-instrument/);
  const bad = await bulkhead("retention", "erase", "pdns", "--before", "yesterday");
  assert.equal(bad.exitCode, 2);
  assert.match(bad.stderr, /accepted: a time such as/);
  await stand.order("stop", "pdns");
  const stopped = await bulkhead("retention", "erase", "pdns");
  assert.equal(stopped.exitCode, 1);
  assert.match(stopped.stdout, /does not run; start it/);
});
