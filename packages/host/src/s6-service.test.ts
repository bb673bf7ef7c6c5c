import assert from "node:assert/strict";
import { test } from "node:test";
import { InstallationName, installationLayout } from "@bulkhead/schema";
import { renderServiceDirectory } from "./s6-service.ts";
import { parseServiceState } from "./s6-supervisor.ts";
import { planServices } from "./service.ts";

const layout = installationLayout(InstallationName.parse("edge"));
const services = planServices(layout, { warden: "w1", sensord: "s1", broker: "b1" });

test("sensord and the broker run, and log, as the installation's user; warden as root", () => {
  const [warden, sensord, broker] = services.map(renderServiceDirectory);
  assert.doesNotMatch(warden?.["run"] ?? "", /s6-setuidgid/);
  for (const directory of [sensord, broker]) {
    assert.match(directory?.["run"] ?? "", / s6-setuidgid bulkhead-edge \/opt\/bulkhead\/edge\//);
    assert.match(directory?.["log/run"] ?? "", /^exec s6-setuidgid bulkhead-edge s6-log /m);
  }
});

test("the broker waits for the configuration that sensord writes, before it becomes the user", () => {
  const run = renderServiceDirectory(services[2] ?? assert.fail())["run"] ?? "";
  const wait = run.indexOf("until test -s /var/lib/bulkhead/edge/mnt/platform/state/d/broker/nats.conf;");
  assert.ok(wait > 0 && wait < run.indexOf("exec env"), run);
});

test("a new build is a new definition, and nothing of the caller's environment passes", () => {
  const [warden = assert.fail()] = services;
  const text = renderServiceDirectory(warden)["run"] ?? "";
  assert.match(text, /exec env -i .*BULKHEAD_BUILD=w1 /);
  assert.notEqual(text, renderServiceDirectory({ ...warden, build: "w2" })["run"]);
});

test("a word that a shell would read is refused", () => {
  const [warden = assert.fail()] = services;
  assert.throws(() => renderServiceDirectory({ ...warden, argv: ["/bin/sh", "$(id)"] }), RangeError);
  assert.throws(() => renderServiceDirectory({ ...warden, logDir: "/var/log/x; id" }), RangeError);
});

test("the state of a service is read from s6-svstat", () => {
  const running = { unit: "u", state: "running", pid: 42, forMs: 7000 };
  assert.deepEqual(parseServiceState("u", "true true 42 7\n"), running);
  assert.equal(parseServiceState("u", "false true -1 0\n").state, "starting");
  assert.equal(parseServiceState("u", "false false -1 9\n").state, "stopped");
});
