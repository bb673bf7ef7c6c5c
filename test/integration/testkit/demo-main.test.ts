/** The demo's program as a supervisor sees it: start, readiness, attacks, ends. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { readFile, readdir } from "node:fs/promises";
import { createInterface } from "node:readline";
import { after, test } from "node:test";
import { attackDemoNetwork, observeDemoNetwork, removeDemoNetwork, runCommand } from "@bulkhead/testkit";

const slug = `bulkhead-t${randomBytes(3).toString("hex")}`;
const program = new URL("../../../packages/testkit/src/demo-main.ts", import.meta.url).pathname;
const started: ChildProcess[] = [];

after(async () => {
  for (const child of started.filter(
    ({ exitCode, signalCode }) => exitCode === null && signalCode === null,
  )) {
    const ended = once(child, "exit");
    child.kill("SIGKILL");
    await ended;
  }
  await removeDemoNetwork(slug);
});

interface Line {
  readonly event: string;
  readonly attack?: string;
}

/** Starts `run`; `until` waits for a line. */
function startDemo(): { readonly child: ChildProcess; readonly until: (event: string) => Promise<Line> } {
  const child = spawn(
    process.execPath,
    [program, "run", "--slug", slug, "--rate", "20", "--attack-every", "0.1"],
    {
      stdio: ["ignore", "pipe", "inherit"],
    },
  );
  started.push(child);
  assert.ok(child.stdout !== null);
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const until = async (event: string): Promise<Line> => {
    for (;;) {
      const { value, done } = await lines.next();
      if (done === true) assert.fail(`ended before ${event}`);
      const line = JSON.parse(value) as Line;
      assert.notEqual(line.event, "activity-failed", value);
      assert.notEqual(line.event, "attack-failed", value);
      if (line.event === event) return line;
    }
  };
  return { child, until };
}

async function agentsOf(parent: ChildProcess): Promise<readonly number[]> {
  const pids = (await readdir("/proc")).filter((name) => /^\d+$/.test(name));
  const parents = await Promise.all(
    pids.map(async (pid) => {
      const status = await readFile(`/proc/${pid}/status`, "utf8").catch(() => "");
      return { pid: Number(pid), ppid: Number(/^PPid:\s+(\d+)/m.exec(status)?.[1]) };
    }),
  );
  return parents.filter(({ ppid }) => ppid === parent.pid).map(({ pid }) => pid);
}

test("it runs, attacks, ends at SIGTERM with 0 and leaves the network for the next run", async () => {
  const { child, until } = startDemo();
  await until("ready");
  assert.equal((await until("attack")).attack, "sql-injection");
  assert.equal((await until("attack")).attack, "path-traversal");
  assert.ok((await agentsOf(child)).length >= 5);
  const ended = once(child, "exit");
  child.kill("SIGTERM");
  assert.deepEqual(await ended, [0, null]);
  assert.equal((await observeDemoNetwork(slug)).state, "up");
});

test("an attack can be ordered beside a running demo, and an unknown one is refused", async () => {
  const { child, until } = startDemo();
  await until("ready");
  const { stdout } = await runCommand(process.execPath, [program, "attack", "log4shell", "--slug", slug]);
  assert.deepEqual(JSON.parse(stdout), { attacks: ["log4shell"], signatures: [9_000_003] });
  const two = await attackDemoNetwork(slug, undefined, { which: ["log4shell", "shellshock"] });
  assert.deepEqual(two, new Set([9_000_003, 9_000_004]));
  assert.deepEqual(await attackDemoNetwork(slug, AbortSignal.abort()), new Set());
  await assert.rejects(
    runCommand(process.execPath, [program, "attack", "no-such", "--slug", slug]),
    /testkit-unknown-attack/,
  );
  const ended = once(child, "exit");
  child.kill("SIGTERM");
  await ended;
});

test("when it is killed its agents end; when an agent is killed it ends with 1", async () => {
  const first = startDemo();
  await first.until("attack");
  const orphans = await agentsOf(first.child);
  first.child.kill("SIGKILL");
  await once(first.child, "exit");
  for (const pid of orphans) await gone(pid);

  const second = startDemo();
  await second.until("ready");
  const [agent] = await agentsOf(second.child);
  assert.ok(agent !== undefined);
  const ended = once(second.child, "exit");
  process.kill(agent, "SIGKILL");
  assert.deepEqual(await ended, [1, null]);
});

test("the program's answers are JSON and exit codes", async () => {
  const { stdout } = await runCommand(process.execPath, [program, "observe", "--slug", slug]);
  assert.equal((JSON.parse(stdout) as { readonly state: string }).state, "up");
  await runCommand(process.execPath, [program, "remove", "--slug", slug]);
  await assert.rejects(runCommand(process.execPath, [program, "observe", "--slug", slug]));
  await assert.rejects(runCommand(process.execPath, [program, "make"]), /--slug is missing/);
  await assert.rejects(runCommand(process.execPath, [program, "make", "--slug", "../x"]), /testkit-bad-name/);
});

async function gone(pid: number): Promise<void> {
  const deadlineMs = performance.now() + 20_000;
  while (performance.now() < deadlineMs) {
    const status = await readFile(`/proc/${pid}/status`, "utf8").catch(() => "State:\tZ");
    if (/^State:\s+Z/m.test(status)) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  assert.fail(`process ${pid} lives on`);
}
