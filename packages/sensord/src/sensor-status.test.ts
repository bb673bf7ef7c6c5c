import assert from "node:assert/strict";
import { test } from "node:test";
import type { HealthReport, PackageTexts, WardenState } from "@bulkhead/schema";
import { type StatusInput, sensorStatus } from "./sensor-status.ts";
import { readSite } from "./site-view.ts";

const SITE = `apiVersion: bulkhead/v1
sensor: hq
interfaces:
  span0: { kind: span, device: eth1 }
instruments:
  capture: { package: capture, source: span0 }
  ids: { package: ids, tap: { from: capture, filter: "tcp" } }
  spare: { package: ids, enabled: false }
fleet:
  ui: { ids: { roles: [operator] }, capture: { roles: [viewer] } }
`;

/** JSON is YAML too. */
const texts = (name: string, needs: readonly object[]): PackageTexts => ({
  manifestFile: `${name}/instrument.yaml`,
  manifest: JSON.stringify({
    apiVersion: "bulkhead/v1",
    name,
    version: "1.2.3",
    title: name,
    role: "passive",
    image: { base: "debian" },
    run: { command: ["/bin/true"] },
    resources: { memory: "64MiB", cpu: 1, processes: 4 },
    needs,
  }),
  configSchema: null,
  image: JSON.stringify({ digest: "a".repeat(64) }),
});
const IDS = texts("ids", [
  { id: "tap", kind: "net.mirror" },
  { id: "ui", kind: "ui", title: "UI", roles: ["viewer"] },
]);
const ACCEPTED = {
  version: "v1",
  text: SITE,
  files: [],
  packages: { capture: texts("capture", [{ id: "span", kind: "capture.source" }]), ids: IDS, spare: IDS },
};
const reading = readSite(ACCEPTED);
assert.ok(reading.ok);
const { view } = reading;

const container = (name: string) => ({
  name,
  specDigest: null,
  state: "running" as const,
  pid: 10,
  deviations: [],
});
const WARDEN: WardenState = {
  revision: 1,
  site: ACCEPTED,
  stopped: [],
  observed: {
    devices: [],
    claimedDevices: [],
    images: [],
    engines: ["capture"],
    spans: [{ engine: "capture", interface: "span0", device: "eth1", state: "guarded" }],
    taps: [{ instrument: "ids", engine: "capture", wire: "connected", filter: "tcp" }],
    volumes: [],
    instruments: [container("capture"), container("ids")],
    inboxes: [],
    resourceDirs: [],
    segments: [],
    ports: [],
    nics: [],
    egress: null,
    vlanDevices: false,
    absent: ["AppArmor: the kernel has none"],
  },
  crashes: [],
  problems: [],
  lastSteps: [],
  vault: { state: "unlocked", method: "file", problem: null },
  erasures: [],
  pending: [],
};
const REPORT: HealthReport = {
  state: "ready",
  detail: "",
  restarts: 2,
  configVersion: "c",
  packets: null,
  events: { acknowledged: 5, refused: 0, waiting: 0 },
  oldestRecord: null,
};
const WELL: StatusInput = {
  view,
  warden: WARDEN,
  heard: () => ({
    config: { version: "c", outcome: "applied", faults: [] },
    report: REPORT,
    silentMs: 0,
    refused: 1,
    quarantined: 2,
    lastLines: [],
  }),
  ledger: [],
  processes: [{ name: "warden", state: "up", detail: "" }],
  problems: [],
};
const withWarden = (change: Partial<WardenState>): StatusInput => ({
  ...WELL,
  warden: { ...WARDEN, ...change },
});

test("sensor status: all is well, with one that is not enabled", () => {
  const status = sensorStatus(WELL);
  assert.equal(status.ok, true);
  assert.deepEqual(
    status.instruments.map((i) => [i.name, i.state, i.version, i.restarts]),
    [
      ["capture", "running", "1.2.3", 2],
      ["ids", "running", "1.2.3", 2],
      ["spare", "stopped", "1.2.3", 2],
    ],
  );
  assert.deepEqual(status.instruments[1]?.events, { acknowledged: 5, refused: 1, quarantined: 2 });
  assert.deepEqual(
    status.taps.map((t) => [t.sensor, t.instrument, t.engine, t.filter, t.wire, t.seen]),
    [["hq", "ids", "capture", "tcp", "connected", 0]],
  );
});

test("sensor status: an absent device is waited for and is no problem", () => {
  const observed = { ...WARDEN.observed, spans: [] };
  const status = sensorStatus(withWarden({ observed }));
  assert.equal(status.ok, false);
  assert.equal(status.instruments[0]?.state, "pending");
  assert.deepEqual([status.pending.length, status.problems.length], [1, 0]);
  const byHand = sensorStatus(withWarden({ observed, stopped: ["capture"] }));
  assert.deepEqual(byHand.pending, [], "what does not run waits for nothing");
  const arriving = sensorStatus(withWarden({ observed: { ...observed, devices: ["eth1"] } }));
  assert.equal(arriving.instruments[0]?.state, "running");
});

test("sensor status: a problem is the sensor's, and that of the instrument that it is about", () => {
  const problems = [{ target: "ids/rules", code: "volume-full", message: "no space left" }];
  const status = sensorStatus(withWarden({ problems }));
  assert.deepEqual(
    status.instruments.map((i) => i.state),
    ["running", "degraded", "stopped"],
  );
  assert.deepEqual([status.ok, status.problems.length], [false, 1]);
});

test("sensor status: what the host lacks is named, and makes nothing worse or better", () => {
  const status = sensorStatus(WELL);
  assert.deepEqual([status.ok, status.absent], [true, ["AppArmor: the kernel has none"]]);
});

test("sensor status: nothing is well while warden is away or was never heard", () => {
  const away = { name: "warden", state: "down", detail: "away" } as const;
  assert.equal(sensorStatus({ ...WELL, processes: [away] }).ok, false);
  const status = sensorStatus({ ...WELL, view: null, warden: null });
  assert.deepEqual([status.ok, status.sensor, status.instruments, status.taps], [false, null, [], []]);
});

test("site view: a UI needs both the manifest's wish and the site's grant", () => {
  assert.deepEqual([...view.uiRoles], [["ids", ["operator"]]]);
  assert.deepEqual([...view.configs.keys()], ["capture", "ids"]);
});

test("sensor status: one that ends by itself again and again is shown with its last words", () => {
  const lastLines = [{ time: "2026-01-01T00:00:00Z", level: "error", message: "no such module" } as const];
  const crash = { count: 2, reason: "exit 1", nextStart: "2026-01-01T00:01:00Z" };
  const input = withWarden({ crashes: [{ instrument: "ids", ...crash }] });
  const status = sensorStatus({ ...input, heard: (name) => ({ ...WELL.heard(name), lastLines }) });
  assert.deepEqual(
    status.instruments.map((i) => i.crash),
    [null, { ...crash, lastLines }, null],
  );
});
