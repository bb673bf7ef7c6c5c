/** The container runtime's daemon where none answers: started as a service of ours, kept, and ended; a private host. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { after, before, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { HOST_LAYOUT } from "@bulkhead/schema";
import { runCommand } from "../../../packages/host/src/command.ts";
import { type HostRecords, readRecords } from "../../../packages/host/src/host-records.ts";
import { endRuntimeDaemon, ensureRuntimeDaemon } from "../../../packages/host/src/runtime-daemon.ts";
import { RUNTIME_SOCKETS } from "../../../packages/host/src/runtime-choice.ts";
import { probeRuntime } from "../../../packages/host/src/runtime-socket.ts";
import { endScan, s6Supervisor } from "../../../packages/host/src/s6-supervisor.ts";
import { isPrivateHost, layPrivateHost, runOnPrivateHost } from "./private-host.ts";

const [socket = ""] = RUNTIME_SOCKETS.lxd;
const installed = existsSync("/usr/bin/lxd");

if (!isPrivateHost()) {
  const skip = installed ? false : "LXD is not installed";
  test("the runtime's daemon, on a private host", { timeout: 300_000, skip }, async () => {
    const { exitCode, output } = await runOnPrivateHost(import.meta.filename);
    assert.equal(exitCode, 0, output);
  });
} else {
  before(() => layPrivateHost({ runtimes: "none" }));

  after(async () => {
    await endRuntimeDaemon();
    await endScan();
  });

  test("it is started where none answers, and recorded as ours", { timeout: 120_000 }, async () => {
    assert.equal(await probeRuntime(socket), undefined);
    assert.equal(await ensureRuntimeDaemon({ kind: "lxd", socket }, "s6"), true);
    assert.equal((await probeRuntime(socket))?.server, "lxd");
    assert.deepEqual((await readRecords()).runtimeDaemons, [{ kind: "lxd", by: "s6" }]);
    assert.equal(await ensureRuntimeDaemon({ kind: "lxd", socket }, "s6"), false);
  });

  test("a record of a version that knew of one daemon only is read", async () => {
    const file = `${HOST_LAYOUT.hostDir}/records.json`;
    const text = await readFile(file, "utf8");
    const { runtimeDaemons, ...rest } = JSON.parse(text) as HostRecords;
    await writeFile(file, JSON.stringify({ ...rest, runtimeDaemon: { kind: "lxd", by: "s6" } }));
    assert.deepEqual((await readRecords()).runtimeDaemons, runtimeDaemons);
    await writeFile(file, text);
  });

  test("kill -9: it comes back and answers", { timeout: 120_000 }, async () => {
    const former = await pid();
    process.kill(former ?? assert.fail(), "SIGKILL");
    const deadlineMs = performance.now() + 60_000;
    while ((await pid()) === former || (await probeRuntime(socket)) === undefined) {
      assert.ok(performance.now() < deadlineMs, "not within 60 s");
      await delay(100);
    }
  });

  test("a daemon that is not ours is neither recorded nor ended", { timeout: 120_000 }, async () => {
    await endRuntimeDaemon();
    assert.equal(await probeRuntime(socket), undefined);
    await runCommand("setsid", ["--fork", "sh", "-c", "exec lxd --group root >/dev/null 2>&1"]);
    const deadlineMs = performance.now() + 60_000;
    while ((await probeRuntime(socket)) === undefined) {
      assert.ok(performance.now() < deadlineMs, "not within 60 s");
      await delay(100);
    }
    assert.equal(await ensureRuntimeDaemon({ kind: "lxd", socket }, "s6"), false);
    assert.deepEqual((await readRecords()).runtimeDaemons, []);
    assert.deepEqual(await endRuntimeDaemon(), []);
    assert.equal((await probeRuntime(socket))?.server, "lxd");
  });
}

async function pid(): Promise<number | null> {
  const [state] = await s6Supervisor(HOST_LAYOUT.servicesDir).observe(["lxd"]);
  return state?.pid ?? null;
}
