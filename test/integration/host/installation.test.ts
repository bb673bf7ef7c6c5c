/**
 * One installation from nothing to nothing, on a private host: set up twice, up, everything killed, down, purged.
 * Stand-ins take the place of warden and sensord; the broker, s6, accounts and files are real.
 */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, readdir, readFile, readlink, stat, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { after, before, test } from "node:test";
import { HOST_LAYOUT } from "@bulkhead/schema";
import { eventually } from "@bulkhead/testkit";
import {
  down,
  type InstallationProcess,
  parseInstallation,
  processes,
  type ProgressEvent,
  purge,
  readSettings,
  restartProcess,
  setup,
  startDemoNetwork,
  up,
} from "../../../packages/host/src/index.ts";
import { runCommand } from "../../../packages/host/src/command.ts";
import { isPrivateHost, layPrivateHost, runOnPrivateHost } from "./private-host.ts";

const installation = `t${randomBytes(3).toString("hex")}`;
const layout = parseInstallation(installation);
const sourceDir = join(import.meta.dirname, "fixture");
const silent = (): void => undefined;

if (!isPrivateHost()) {
  test("an installation, on a private host", { timeout: 600_000 }, async () => {
    const { exitCode, output } = await runOnPrivateHost(import.meta.filename);
    assert.equal(exitCode, 0, output);
  });
} else {
  let untouched: ReadonlyMap<string, string>;

  before(async () => {
    await layPrivateHost();
    untouched = await observeHost();
  });

  after(async () => {
    await purge({ installation }, silent);
  });

  test("set-up makes all of it, says each step, and owns it as planned", { timeout: 500_000 }, async () => {
    const events: ProgressEvent[] = [];
    const settings = await setup({ installation, sourceDir }, (event) => events.push(event));
    assert.equal(settings.supervisor, "s6");
    const done = events.filter((event) => event.state === "done").map((event) => event.step);
    const steps = [
      "checks",
      "runtime",
      "packages",
      "host",
      "daemon",
      "account",
      "programs",
      "images",
      "settings",
      "vault",
    ];
    assert.deepEqual(done, steps);
    const line = (await runCommand("getent", ["passwd", layout.slug])).trim().split(":");
    assert.deepEqual(line.slice(4), [
      `Bulkhead installation ${installation}`,
      "/nonexistent",
      "/usr/sbin/nologin",
    ]);
    // Until warden has opened the vault, the platform's state has no place to be written to.
    const place = await stat(dirname(layout.platformDir));
    assert.deepEqual([place.uid, place.gid, place.mode & 0o7777], [0, 0, 0o711]);
    await assert.rejects(stat(layout.platformDir), { code: "ENOENT" });
    assert.equal((await stat(layout.vaultKeyFile)).mode & 0o7777, 0o600);
    assert.equal((await stat(layout.runDir)).mode & 0o7777, 0o1770);
    for (const program of [
      "warden.mjs",
      "vault.mjs",
      "sensord.mjs",
      "demo.mjs",
      "bin/nats-server",
      "node/bin/node",
    ]) {
      const found = await stat(join(layout.optDir, program));
      assert.deepEqual([found.uid, found.mode & 0o022], [0, 0], program);
    }
  });

  test("set up again: nothing changes, and it takes seconds", { timeout: 60_000 }, async () => {
    const former = await observeHost();
    const settings = await readSettings(layout);
    const startedMs = performance.now();
    assert.deepEqual(await setup({ installation, sourceDir }, silent), settings);
    const tookMs = performance.now() - startedMs;
    assert.deepEqual(changes(former, await observeHost()), []);
    assert.ok(tookMs < 10_000, `${tookMs} ms`);
    const runtime = settings?.runtime.kind === "lxd" ? "incus" : "lxd";
    await assert.rejects(setup({ installation, sourceDir, runtime }, silent), { code: "host-runtime-other" });
  });

  test("a second installation gets another port and another user", { timeout: 60_000 }, async () => {
    const name = `${installation}-b`;
    const second = await setup({ installation: name, sourceDir }, silent);
    const first = await readSettings(layout);
    assert.notEqual(second.brokerPort, first?.brokerPort);
    assert.notEqual(second.uid, first?.uid);
    const outcome = await purge({ installation: name }, silent);
    assert.deepEqual([outcome.errors, outcome.last], [[], false]);
    assert.ok(existsSync(layout.settingsFile), "the first is untouched");
  });

  test("up: all run, as whom they should; up again restarts none", { timeout: 60_000 }, async () => {
    const first = await up({ installation }, silent);
    assert.deepEqual(first.map(stateOf), ["warden running", "sensord running", "broker running"]);
    const uid = (await readSettings(layout))?.uid ?? -1;
    const uids = await Promise.all(first.map(async ({ pid }) => (await stat(`/proc/${pid}`)).uid));
    assert.deepEqual(uids, [0, uid, uid]);
    assert.deepEqual((await up({ installation }, silent)).map(pidOf), first.map(pidOf));
    const log = await readFile(`${layout.logDir}/sensord/current`, "utf8");
    assert.match(log, new RegExp(`^\\d{4}-.* sensord stands as ${uid}$`, "m"));
  });

  test("the broker listens on its loopback port alone", async () => {
    const port = (await readSettings(layout))?.brokerPort;
    const table = await runCommand("ss", ["-Hltn", "sport", "=", `:${port}`]);
    const listeners = table
      .trim()
      .split("\n")
      .map((line) => line.split(/\s+/)[3]);
    assert.deepEqual(listeners, [`127.0.0.1:${port}`]);
  });

  for (const name of ["warden", "sensord", "broker"] as const) {
    test(`kill -9 of ${name}: it comes back, the others run on`, { timeout: 60_000 }, async () => {
      const former = await processes(installation);
      const victim = former.find((each) => each.process === name);
      process.kill(victim?.pid ?? assert.fail(), "SIGKILL");
      const next = await eventually(`${name} comes back`, async () => {
        const now = await processes(installation);
        const again = now.find((each) => each.process === name);
        return again?.state === "running" && again.pid !== victim?.pid ? now : undefined;
      });
      const others = (all: readonly InstallationProcess[]): readonly unknown[] =>
        all.filter((each) => each.process !== name).map(pidOf);
      assert.deepEqual(others(next), others(former));
    });
  }

  test("a process is restarted on order; a newer program restarts its process alone", async () => {
    await up({ installation }, silent);
    const former = await processes(installation);
    await restartProcess(installation, "sensord");
    const middle = await up({ installation }, silent);
    assert.deepEqual(sameBetween(former, middle), ["warden", "broker"]);
    await writeFile(
      `${layout.optDir}/warden.mjs`,
      `${await readFile(`${layout.optDir}/warden.mjs`, "utf8")}\n`,
    );
    assert.deepEqual(sameBetween(middle, await up({ installation }, silent)), ["sensord", "broker"]);
  });

  test("after the keepers were killed, up takes over without a double", { timeout: 60_000 }, async () => {
    const former = await processes(installation);
    await killKeepers();
    const again = await up({ installation }, silent);
    assert.deepEqual(again.map(stateOf), ["warden running", "sensord running", "broker running"]);
    assert.deepEqual(sameBetween(former, again), []);
    for (const { pid } of former) assert.equal(existsSync(`/proc/${pid}/cwd`), false, `${pid} is gone`);
  });

  test("after a cold start of the machine, up brings all back", { timeout: 60_000 }, async () => {
    const former = await processes(installation);
    await killKeepers();
    for (const { pid } of former) process.kill(pid ?? assert.fail(), "SIGKILL");
    await runCommand("rm", ["-rf", "/run/bulkhead"]);
    const again = await up({ installation }, silent);
    assert.deepEqual(again.map(stateOf), ["warden running", "sensord running", "broker running"]);
  });

  test("the demo's network runs as a service beside the others", { timeout: 60_000 }, async () => {
    await startDemoNetwork({ installation }, silent);
    const processTable = await runCommand("ps", ["-eo", "args="]);
    assert.match(processTable, new RegExp(`/demo\\.mjs run --slug ${layout.slug}$`, "m"));
  });

  test("down asks warden first, and stops all; down again is nothing", { timeout: 60_000 }, async () => {
    assert.deepEqual(await down({ installation }, silent), { instruments: "stopped", reason: "" });
    assert.match(await readFile(`${layout.wardenDir}/verbs`, "utf8"), /^POST \/v1\/down$/m);
    const states = (await processes(installation)).map((each) => each.state);
    assert.deepEqual(states, ["stopped", "stopped", "stopped"]);
    assert.doesNotMatch(await runCommand("ps", ["-eo", "args="]), /\/demo\.mjs run/);
    assert.deepEqual(await down({ installation }, silent), { instruments: "stopped", reason: "" });
  });

  test("purge leaves the host as it was, strays and all", { timeout: 60_000 }, async () => {
    await up({ installation }, silent);
    const stray = spawn(`${layout.nodeDir}/bin/node`, ["-e", "setInterval(() => 0, 1000)"], {
      detached: true,
    });
    const ended = new Promise((resolve) => stray.once("exit", resolve));
    const outcome = await purge({ installation }, silent);
    assert.deepEqual([outcome.errors, outcome.last], [[], true]);
    for (const what of [`user ${layout.slug}`, "s6-svscan", `service ${layout.slug}-demo`, layout.libDir]) {
      assert.ok(outcome.removed.includes(what), `${what} in ${outcome.removed.join("; ")}`);
    }
    await ended;
    assert.equal(existsSync(HOST_LAYOUT.cacheDir), false);
    assert.deepEqual(changes(untouched, await observeHost()), []);
    assert.deepEqual(await purge({ installation }, silent), { removed: [], errors: [], last: true });
  });

  test("purge of a half-made installation, and of one whose settings are damaged", async () => {
    await mkdir(layout.etcDir, { recursive: true });
    await mkdir(`${layout.volumesDir}/ids`, { recursive: true });
    await writeFile(layout.settingsFile, "{");
    const outcome = await purge({ installation }, silent);
    assert.deepEqual(outcome.errors, []);
    assert.deepEqual(changes(untouched, await observeHost()), []);
  });

  test("an account of the same name that is somebody else's is left alone", { timeout: 60_000 }, async () => {
    await runCommand("useradd", ["--system", "--comment", "somebody", layout.slug]);
    await assert.rejects(setup({ installation, sourceDir }, silent), { code: "host-account-foreign" });
    assert.deepEqual((await purge({ installation }, silent)).errors, []);
    await runCommand("userdel", [layout.slug]);
  });
}

/** What set-up may change on a host: files by size, owner and mode; accounts; kernel settings; processes. */
async function observeHost(): Promise<ReadonlyMap<string, string>> {
  const seen = new Map<string, string>();
  const roots = ["/etc", "/opt/bulkhead", "/var/lib/bulkhead", "/var/log/bulkhead", "/run/bulkhead"];
  for (const root of roots.filter((path) => existsSync(path))) {
    const text = await runCommand("find", [root, "-printf", "%p\\t%y %s %u:%g %m\\n"]);
    for (const line of text.trim().split("\n")) {
      const [path = "", about = ""] = line.split("\t");
      // Backups that the account tools keep by themselves; a directory's size is the file system's affair.
      if (/^\/etc\/(passwd|group|shadow|gshadow|subuid|subgid)-$|^\/etc\/\.pwd\.lock$/.test(path)) continue;
      seen.set(path, about.startsWith("d") ? about.replace(/^d \d+/, "d") : about);
    }
  }
  for (const file of ["/etc/passwd", "/etc/group", "/etc/subuid", "/etc/subgid"]) {
    seen.set(`content of ${file}`, await readFile(file, "utf8"));
  }
  const sysctl = "/proc/sys/fs/inotify/max_user_instances";
  seen.set(sysctl, await readFile(sysctl, "utf8"));
  for (const line of (await runCommand("ps", ["-eo", "stat=,comm="])).split("\n")) {
    if (/^[^Z]\S* +(s6-|nats-server)/.test(line)) seen.set(`process ${line}`, "runs");
  }
  return seen;
}

function changes(former: ReadonlyMap<string, string>, now: ReadonlyMap<string, string>): readonly string[] {
  const keys = new Set([...former.keys(), ...now.keys()]);
  return [...keys]
    .filter((key) => former.get(key) !== now.get(key))
    .map((key) => `${key}: ${former.get(key) ?? "absent"} → ${now.get(key) ?? "absent"}`);
}

/** Ends s6 itself, all of it; this host's process ids are private, so nobody else's is seen. */
async function killKeepers(): Promise<void> {
  for (const pid of (await readdir("/proc")).map(Number).filter((each) => each > 1)) {
    const program = await readlink(`/proc/${pid}/exe`).catch(() => "");
    if (/\/s6-(svscan|supervise|log)$/.test(program)) process.kill(pid, "SIGKILL");
  }
}

/** Names of the processes that kept their pid. */
function sameBetween(
  former: readonly InstallationProcess[],
  now: readonly InstallationProcess[],
): readonly string[] {
  return now.filter((each) => former.some((other) => other.pid === each.pid)).map((each) => each.process);
}

function stateOf({ process: name, state }: InstallationProcess): string {
  return `${name} ${state}`;
}

function pidOf({ pid }: InstallationProcess): number | null {
  return pid;
}
