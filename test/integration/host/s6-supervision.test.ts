import assert from "node:assert/strict";
import { chown, mkdir, mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { eventually } from "@bulkhead/testkit";
import { runCommand } from "../../../packages/host/src/command.ts";
import { s6Scan } from "../../../packages/host/src/s6-scan.ts";
import { s6Supervisor } from "../../../packages/host/src/s6-supervisor.ts";
import type { ProcessState, ServiceDefinition } from "../../../packages/host/src/supervisor.ts";

/** `nobody`: every host has it, and the test makes no account. */
const nobody = { name: "nobody", uid: 65_534 };

let root = "";
let servicesDir = "";

before(async () => {
  root = await mkdtemp(join(tmpdir(), "bulkhead-s6-"));
  servicesDir = join(root, "services");
  // The user's logger has to get through.
  await runCommand("chmod", ["0755", root]);
});

after(async () => {
  const scan = s6Scan(servicesDir);
  await s6Supervisor(servicesDir).remove(await scan.units());
  await scan.end();
  await rm(root, { recursive: true });
});

test("what is killed comes back, each of them, and its log goes on", async () => {
  const supervisor = s6Supervisor(servicesDir);
  const services = [await fixture("one", "root"), await fixture("two", nobody.name)];
  assert.deepEqual(await supervisor.start(services), ["one", "two"]);
  for (const { unit } of services) {
    const first = await running(unit);
    process.kill(first.pid ?? assert.fail(), "SIGKILL");
    const second = await running(unit, first.pid);
    assert.notEqual(second.pid, first.pid);
    await eventually(`log of ${unit}`, async () => (await logOf(unit)).match(/begun/g)?.length === 2);
  }
  const { pid } = await running("two");
  assert.match(await readFile(`/proc/${pid}/status`, "utf8"), new RegExp(`^Uid:\\t${nobody.uid}\\t`, "m"));
  assert.equal((await stat(join(root, "log-two", "current"))).uid, nobody.uid);
});

test("an unchanged definition is left running, a changed one is restarted", async () => {
  const supervisor = s6Supervisor(servicesDir);
  const service = await fixture("build", "root");
  await supervisor.start([service]);
  const first = await running("build");
  assert.deepEqual(await supervisor.start([service]), []);
  assert.equal((await running("build")).pid, first.pid);
  assert.deepEqual(await supervisor.start([{ ...service, build: "newer" }]), ["build"]);
  const second = await running("build", first.pid);
  assert.match(await readFile(`/proc/${second.pid}/environ`, "utf8"), /BULKHEAD_BUILD=newer/);
});

test("stop, start again, restart", async () => {
  const supervisor = s6Supervisor(servicesDir);
  const service = await fixture("cycle", "root");
  await supervisor.start([service]);
  const first = await running("cycle");
  await supervisor.stop(["cycle", "never-was"]);
  assert.equal((await observe("cycle")).state, "stopped");
  assert.deepEqual(await supervisor.start([service]), ["cycle"]);
  const second = await running("cycle");
  assert.notEqual(second.pid, first.pid);
  await supervisor.restart("cycle");
  assert.notEqual((await running("cycle", second.pid)).pid, second.pid);
  await assert.rejects(supervisor.restart("never-was"), { code: "host-supervisor-failed" });
});

test("a process waits for its file, and begins once it is there", async () => {
  const supervisor = s6Supervisor(servicesDir);
  const waitFor = join(root, "wanted");
  const service = { ...(await fixture("waiter", "root")), waitFor };
  await supervisor.start([service]);
  await delay(500);
  assert.doesNotMatch(await logOf("waiter"), /begun/);
  await writeFile(waitFor, "now");
  await eventually("the waiter begins", async () => /begun/.test(await logOf("waiter")));
});

test("after its scanner was killed everything is taken over by a new one", async () => {
  const supervisor = s6Supervisor(servicesDir);
  const service = await fixture("orphan", "root");
  await supervisor.start([service]);
  const first = await running("orphan");
  for (const pid of await scanners()) process.kill(pid, "SIGKILL");
  await eventually("the scanner is gone", async () => (await scanners()).length === 0);
  await supervisor.start([service]);
  const second = await running("orphan");
  process.kill(second.pid ?? assert.fail(), "SIGKILL");
  await running("orphan", second.pid);
  assert.equal((await scanners()).length, 1);
  assert.equal(await isAlive(first.pid), false, "the process of the former scanner does not run beside it");
});

test("a removed service is gone with its process; removing it again is nothing", async () => {
  const supervisor = s6Supervisor(servicesDir);
  await supervisor.start([await fixture("gone", "root")]);
  const { pid } = await running("gone");
  assert.deepEqual(await supervisor.remove(["gone"]), ["gone"]);
  assert.equal(await isAlive(pid), false);
  assert.equal((await observe("gone")).state, "absent");
  assert.deepEqual(await supervisor.remove(["gone"]), []);
});

/** A process that says `begun` and then sleeps. */
async function fixture(unit: string, user: string): Promise<ServiceDefinition> {
  const program = join(root, `${unit}.sh`);
  await writeFile(program, "#!/bin/sh\necho begun\nexec sleep 600\n", { mode: 0o755 });
  const logDir = join(root, `log-${unit}`);
  await mkdir(logDir, { recursive: true });
  if (user === nobody.name) await chown(logDir, nobody.uid, nobody.uid);
  const hardening = { profile: "datapath", network: "none", addressFamilies: [], writable: [] } as const;
  const common = { process: "warden", waitFor: null, build: "first", description: "fixture" } as const;
  return { ...common, unit, argv: [program], user, logDir, hardening };
}

async function observe(unit: string): Promise<ProcessState> {
  const [state] = await s6Supervisor(servicesDir).observe([unit]);
  return state ?? assert.fail();
}

/** The unit's state once it runs under another pid than `not`. */
async function running(unit: string, not: number | null = null): Promise<ProcessState> {
  let state = await observe(unit);
  await eventually(`${unit} runs`, async () => {
    state = await observe(unit);
    return state.state === "running" && state.pid !== not;
  });
  return state;
}

async function logOf(unit: string): Promise<string> {
  return await readFile(join(root, `log-${unit}`, "current"), "utf8").catch(() => "");
}

/** Pids of the scanners of this test's own directory. */
async function scanners(): Promise<readonly number[]> {
  const text = await runCommand("ps", ["-eo", "pid=,args="]);
  return text
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line.endsWith(`s6-svscan ${servicesDir}`))
    .map((line) => Number.parseInt(line, 10));
}

async function isAlive(pid: number | null): Promise<boolean> {
  const text = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => "");
  return text !== "" && !/\) Z /.test(text);
}
