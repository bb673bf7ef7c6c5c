/**
 * The downloader on a real sensor: what its source names comes through the platform's proxy, is verified and lies with
 * its receiver. Then it is taken over, and reaches nothing but what the site grants it, no other instrument's storage,
 * and nothing of what was delivered before.
 */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { buffer } from "node:stream/consumers";
import { after, before, test } from "node:test";
import { API_ROUTES, ResourcesReport } from "@bulkhead/schema";
import {
  capture,
  type Capture,
  eventually,
  makeMinisignKey,
  runCommand,
  signLikeMinisign,
} from "@bulkhead/testkit";
import { pack } from "tar-stream";
import * as z from "zod";
import { makeOutside, type Outside, PLACE } from "./outside.ts";
import { makeSensorStand, type SensorStand } from "./sensor-stand.ts";
import { takenOver, type Findings } from "./downloader-taken-over.ts";

const DEVICE = "bhe2edwn0";
/** What the outside answers to GET /feed in TLS. */
const FEED = "secure /feed";
const BROUGHT = "alert brought\n";
const signer = makeMinisignKey();

let stand: SensorStand;
let outside: Outside;
let wire: Capture;
let findings: Findings;
const undo = new AsyncDisposableStack();

before(async () => {
  stand = undo.use(await makeSensorStand("dwn"));
  outside = undo.use(await makeOutside(DEVICE));
  const file = join(stand.directory, "egress.pcap");
  wire = undo.use(await capture({ namespace: outside.namespace.name, device: "out1", file }));
  await layBundle();
  await stand.apply(site());
  await stand.settled();
});
after(() => undo.disposeAsync());

function site(): string {
  const imports = {
    keys: [signer.publicKey],
    bundles: [{ bundle: "./usb/bundle.tar", signature: "./usb/bundle.tar.minisig" }],
  };
  const sources = [
    { ...source("good"), verify: { sha256: sha256(FEED) } },
    { ...source("bad"), verify: { sha256: "0".repeat(64) } },
    { ...source("elsewhere"), url: "https://other.example.net/feed", verify: { sha256: sha256(FEED) } },
  ];
  return `apiVersion: bulkhead/v1
sensor: dwn
interfaces:
  feeds:
    kind: egress
    device: ${DEVICE}
    address: { addresses: [${PLACE.proxy}/24], gateways: [${PLACE.dns}] }
    dns: [${PLACE.dns}]
    allow: ["web.example.net:443", "other.example.net:443", "private.example.net:443"]
instruments:
  fetch:
    package: downloader
    egress: { through: feeds, hosts: ["web.example.net:443", "private.example.net:443"] }
    config: ${JSON.stringify({ sources, imports })}
  rules: { package: rule-manager }
grants:
  resources: [{ from: fetch, type: ruleset.feed, to: rules }]
fleet: { ui: { fetch: { roles: [operator] } } }
`;
}

/** Beside the site: what no host that is granted has. */
async function layBundle(): Promise<void> {
  const entry = { source: "elsewhere", type: "ruleset.feed", file: "feed", sha256: sha256(BROUGHT) };
  const manifest = { formatVersion: 1, created: "2024-05-01T00:00:00Z", files: [entry] };
  const tar = pack();
  tar.entry({ name: "manifest.json" }, JSON.stringify(manifest));
  tar.entry({ name: "feed" }, BROUGHT);
  tar.finalize();
  const bytes = await buffer(tar);
  const usb = join(stand.directory, "usb");
  await mkdir(usb);
  await writeFile(join(usb, "bundle.tar"), bytes);
  await writeFile(join(usb, "bundle.tar.minisig"), signLikeMinisign(signer, bytes, "a bundle"));
}

function source(name: string) {
  const as = { type: "ruleset.feed", name };
  return {
    name,
    url: "https://web.example.net/feed",
    as,
    every: "1h",
    jitter: "1s",
    ca: outside.certificate,
  };
}

const Sources = z.looseObject({
  sources: z.array(
    z.looseObject({
      name: z.string(),
      state: z.string(),
      current: z.looseObject({ sha256: z.string() }).nullable(),
      problem: z.looseObject({ reason: z.string(), detail: z.string() }).nullable(),
      lastTryAt: z.string().nullable(),
      isDelivered: z.boolean(),
    }),
  ),
});
const UI = API_ROUTES.ui.path.replace("{instrument}", "fetch").replace(/\/\*?$/, "");

async function sourceOf(name: string) {
  const { sources } = await stand.api.get(`${UI}/v1/sources`, Sources);
  return sources.find((each) => each.name === name) ?? null;
}

async function resources() {
  const { resources } = await stand.api.get(API_ROUTES.resources.path, ResourcesReport);
  return resources;
}

/** On the host, the file of the version that the receiver has. */
async function deliveredFile(name: string): Promise<{ readonly file: string; readonly version: string }> {
  return eventually(`${name} lies with its receiver`, async () => {
    const found = (await resources()).find((each) => each.from === "fetch" && each.name === name);
    const version = found?.receivers.find(({ to }) => to === "rules")?.current ?? null;
    if (found === undefined || version === null) return null;
    return { file: join(stand.layout.resourcesDir, "rules", "fetch", found.type, name, version), version };
  });
}

test("what is verified is handed over, and lies with the receiver as it came", async () => {
  const { file } = await deliveredFile("good");
  assert.equal(await readFile(file, "utf8"), FEED);
  const events = await eventually("its events", async () => {
    const all = await stand.events("downloader.result", "fetch");
    return all.some(({ data }) => JSON.stringify(data).includes('"delivered"')) ? all : null;
  });
  assert.match(JSON.stringify(events), /"source":"good","outcome":"new"/);
});

test("what no host has is brought in a signed bundle beside the site", async () => {
  const { file } = await deliveredFile("elsewhere");
  assert.equal(await readFile(file, "utf8"), BROUGHT);
});

test("what is not, or not granted, is named with its reason", async () => {
  const bad = await eventually("a run", async () => {
    const found = await sourceOf("bad");
    return found?.problem ?? null;
  });
  assert.equal(bad.reason, "checksum");
  const elsewhere = await eventually("a run", async () => (await sourceOf("elsewhere"))?.problem ?? null);
  assert.equal(elsewhere.reason, "egress-refused");
  assert.match(elsewhere.detail, /not-granted/);
  const { detail } = await eventually("its health", async () => {
    const instrument = await stand.instrument("fetch");
    return /failing/.test(instrument.detail) ? instrument : null;
  });
  assert.match(detail, /3 sources; failing: bad \(checksum\), elsewhere \(egress-refused\)/);
  const names = (await resources()).filter(({ from }) => from === "fetch").map(({ name }) => name);
  assert.deepEqual(names.toSorted(), ["elsewhere", "good"]);
});

test("killed, it goes on with what it had", async () => {
  const before = await sourceOf("good");
  process.kill(await stand.initPid("fetch"), "SIGKILL");
  const after = await eventually("it is back", async () => sourceOf("good").catch(() => null));
  assert.deepEqual([after.current, after.lastTryAt], [before?.current, before?.lastTryAt]);
  assert.equal(after.isDelivered, true);
});

test("an operator has it fetch one at once", async () => {
  const before = await sourceOf("good");
  await stand.api.post(`${UI}/v1/sources/good/fetch`, z.unknown());
  const after = await eventually("it ran", async () => {
    const found = await sourceOf("good");
    return found?.state === "idle" && found.lastTryAt !== before?.lastTryAt ? found : null;
  });
  assert.deepEqual([after.problem, after.current], [null, before?.current]);
});

test("taken over, it reaches what it is granted and nothing else", async () => {
  const settings = z
    .looseObject({ brokerPort: z.int() })
    .parse(JSON.parse(await readFile(stand.layout.settingsFile, "utf8")));
  findings = await takenOver(stand, { brokerPort: settings.brokerPort, other: "rules" });
  assert.equal(findings.through["web.example.net:443"], "200", "the control");
  for (const [target, answer] of Object.entries(findings.through)) {
    if (target !== "web.example.net:443") assert.match(answer, /^403 |^failed/, target);
  }
  assert.match(findings.through["other.example.net:443"] ?? "", /not-granted/);
  assert.match(findings.through["private.example.net:443"] ?? "", /address-refused/);
  for (const [target, answer] of Object.entries(findings.direct)) {
    assert.match(answer, /^(ENETUNREACH|ECONNREFUSED|EADDRNOTAVAIL)$/, target);
  }
});

test("taken over, it sees no other's storage and writes nowhere else", () => {
  assert.deepEqual(findings.volumes, ["store"]);
  // `egress` is the directory that the proxy's socket lies in.
  assert.deepEqual(findings.sockets, ["bus.sock", "egress", "egress.sock", "ui.sock"]);
  for (const [path, answer] of Object.entries(findings.writes)) {
    if (path.startsWith("/data/store/")) assert.equal(answer, "written", "the control");
    else assert.match(answer, /^(EROFS|EACCES|ENOENT|EPERM)$/, path);
  }
});

test("taken over, it speaks for nobody else, and publishes nothing that it does not declare", () => {
  assert.equal(findings.deliver["ruleset.feed"], "ok", "the control");
  assert.equal(findings.deliver["ruleset.suricata"], "not-declared");
  assert.equal(findings.deliver["../rules"], "invalid");
  for (const [subject, answer] of Object.entries(findings.bus)) {
    assert.match(answer, /Permissions Violation|^closed/, subject);
  }
});

test("what was delivered before is as it was", async () => {
  const { file } = await deliveredFile("good");
  assert.equal(await readFile(file, "utf8"), FEED);
});

test("nothing left by the interface but what was granted", async () => {
  await wire.stop();
  const links = await outside.namespace.ip("-j", "link", "show", "out1");
  const own = /"address":"([^"]+)"/.exec(links)?.[1] ?? "";
  const ours = async (what: string) =>
    (await runCommand("tcpdump", ["-n", "-e", "-r", wire.file, `not ether src ${own} and (${what})`])).stdout;
  const web = `tcp and dst host ${PLACE.web} and dst port 443`;
  assert.notEqual(await ours(web), "", "the control");
  assert.equal(await ours(`not (arp or (${web}) or (dst host ${PLACE.dns} and dst port 53))`), "");
});

function sha256(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}
