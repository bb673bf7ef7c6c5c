/** A supervised tool: kept running, with an epoch a start, ended in an orderly way. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Tool, type ToolRun } from "@bulkhead/sdk";
import { eventually } from "@bulkhead/testkit";

const LOYAL =
  'console.log("up"); process.on("SIGTERM", () => { console.log("bye"); process.exit(0); }); setInterval(() => {}, 1e6)';
const DEAF = 'process.on("SIGTERM", () => {}); console.log("up"); setInterval(() => {}, 1e6)';

function command(program: string) {
  return { file: process.execPath, args: ["-e", program] };
}

function watchTool(options = {}) {
  const starts: ToolRun[] = [];
  const ends: string[] = [];
  const lines: string[] = [];
  const tool = new Tool(
    {
      started: (run) => starts.push(run),
      ended: (_run, how, expected) => ends.push(`${how} ${expected ? "expected" : "by itself"}`),
      line: (line) => lines.push(line),
    },
    { backoffMs: 20, maxBackoffMs: 100, graceMs: 300, ...options },
  );
  return { tool, starts, ends, lines };
}

test("a tool that dies comes back with a new epoch; its last words count as its own", async () => {
  const { tool, starts, ends, lines } = watchTool();
  await tool.start(command(LOYAL));
  await eventually("up", () => lines.includes("up"));
  process.kill(starts[0]?.pid ?? 0, "SIGKILL");
  await eventually("another start", () => starts.length === 2);
  assert.notEqual(starts[0]?.epoch, starts[1]?.epoch);
  assert.deepEqual(
    starts.map(({ restarts }) => restarts),
    [0, 1],
  );
  await eventually("up again", () => lines.filter((line) => line === "up").length === 2);
  await tool.stop();
  assert.equal(tool.run, null);
  assert.deepEqual(ends, ["signal SIGKILL by itself", "exit code 0 expected"]);
  assert.equal(lines.at(-1), "bye");
});

test("one that ends at once is tried again and again, ever more slowly, until it is stopped", async () => {
  const { tool, starts, ends } = watchTool();
  await tool.start(command("process.exit(3)"));
  await eventually("several tries", () => starts.length >= 4);
  await tool.stop();
  const tries = starts.length;
  await new Promise((resolve) => setTimeout(resolve, 300));
  assert.equal(starts.length, tries, "not after the stop");
  assert.deepEqual(new Set(ends.slice(0, 3)), new Set(["exit code 3 by itself"]));
});

test("one that does not heed SIGTERM is killed; a new command replaces the old process", async () => {
  const { tool, starts, ends, lines } = watchTool();
  await tool.start(command(DEAF));
  await eventually("up", () => lines.includes("up"));
  await tool.start(command(LOYAL));
  assert.equal(starts.length, 2);
  assert.deepEqual(ends, ["signal SIGKILL expected"]);
  await tool.stop();
});

test("a program that cannot be run is an error of the start", async () => {
  const { tool } = watchTool();
  await assert.rejects(tool.start({ file: "/nonexistent/tool", args: [] }), {
    code: "sdk-child-start-failed",
  });
  await tool.stop();
});
