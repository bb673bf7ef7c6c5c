/**
 * sensord as a process: bundled as it is installed, as a user of its own, in the real places of an
 * installation that this test makes and removes.
 */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { chown, copyFile, mkdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { bundle } from "@bulkhead/images";
import { API_ROUTES, installationLayout, SensorStatus } from "@bulkhead/schema";
import { eventually } from "@bulkhead/testkit";
import { findNatsServer, freePort } from "../../../packages/testkit/src/broker.ts";
import { askApi } from "./sensor-stand.ts";

const LAYOUT = installationLayout("sd-run-test");
const UID = 64_877;
const PROGRAM = join(LAYOUT.optDir, "sensord.mjs");

async function install(stack: AsyncDisposableStack): Promise<void> {
  const all = [LAYOUT.etcDir, LAYOUT.optDir, LAYOUT.libDir, LAYOUT.runDir];
  stack.defer(async () => {
    for (const path of all) await rm(path, { recursive: true, force: true });
  });
  const own = [LAYOUT.sensordDir, LAYOUT.brokerDir, LAYOUT.socketsDir, LAYOUT.runDir];
  for (const path of [...all, ...own, LAYOUT.catalogueDir, join(LAYOUT.optDir, "bin")]) {
    await mkdir(path, { recursive: true });
  }
  for (const path of own) await chown(path, UID, UID);
  const main = fileURLToPath(new URL("../../../packages/sensord/src/main.ts", import.meta.url));
  await writeFile(PROGRAM, (await bundle(main, { format: "mjs" })).code);
  await copyFile(await findNatsServer(), join(LAYOUT.optDir, "bin", "nats-server"));
  const settings = {
    installation: LAYOUT.name,
    runtime: { kind: "lxd", socket: "/nowhere" },
    brokerPort: await freePort(),
    supervisor: "s6",
    uid: UID,
    gid: UID,
  };
  await writeFile(LAYOUT.settingsFile, JSON.stringify(settings));
}

interface Run {
  readonly child: ChildProcess;
  readonly lines: Record<string, unknown>[];
}

function start(uid: number, args: readonly string[]): Run {
  const child = spawn(process.execPath, [PROGRAM, ...args], {
    uid,
    gid: uid,
    env: {},
    stdio: ["ignore", "ignore", "pipe"],
  });
  const lines: Record<string, unknown>[] = [];
  let rest = "";
  child.stderr?.on("data", (chunk: Buffer) => {
    const parts = (rest + chunk.toString("utf8")).split("\n");
    rest = parts.pop() ?? "";
    for (const line of parts) lines.push(JSON.parse(line) as Record<string, unknown>); // each is JSON
  });
  return { child, lines };
}

async function ended({ child }: Run): Promise<number | null> {
  if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
  return child.exitCode;
}

async function statusOf(): Promise<SensorStatus> {
  return eventually("the API answers", async () => {
    const answer = await askApi(LAYOUT.apiSocket, API_ROUTES.status.path).catch(() => null);
    return answer === null ? null : SensorStatus.parse(answer.json);
  });
}

test("sensord process: its own user alone, without warden and broker, killed and ended", async () => {
  await using stack = new AsyncDisposableStack();
  await install(stack);
  const args = ["--installation", LAYOUT.name];

  const asRoot = start(0, args);
  assert.equal(await ended(asRoot), 1);
  assert.equal(asRoot.lines.at(-1)?.["code"], "wrong-user");
  const badCall = start(UID, ["--verbose"]);
  assert.equal(await ended(badCall), 2);

  const first = start(UID, args);
  stack.defer(() => void first.child.kill("SIGKILL"));
  const status = await statusOf();
  assert.deepEqual(
    status.processes.map((p) => [p.name, p.state]),
    [
      ["warden", "down"],
      ["sensord", "up"],
      ["broker", "down"],
    ],
  );
  const socket = await stat(LAYOUT.apiSocket);
  assert.deepEqual([socket.mode & 0o777, socket.uid], [0o600, UID]);
  // What the broker's service waits for, readable by nobody else.
  const config = await stat(join(LAYOUT.brokerDir, "nats.conf"));
  assert.equal(config.mode & 0o077, 0);

  const rival = start(UID, args);
  assert.equal(await ended(rival), 1);
  assert.equal(rival.lines.at(-1)?.["code"], "api-socket-in-use");

  first.child.kill("SIGKILL");
  await ended(first);
  const second = start(UID, args);
  stack.defer(() => void second.child.kill("SIGKILL"));
  await statusOf();
  const rssKib = Number(
    /VmRSS:\s+(\d+)/.exec(await readFile(`/proc/${second.child.pid}/status`, "utf8"))?.[1],
  );

  assert.ok(rssKib < 130 * 1024, `idle, it holds ${rssKib} KiB`);
  second.child.kill("SIGTERM");
  assert.equal(await ended(second), 0);
  await assert.rejects(stat(LAYOUT.apiSocket), "its socket is gone");
});
