import assert from "node:assert/strict";
import { test } from "node:test";
import { receivedFrames } from "./place.ts";
import { observeProcesses, parseStat, pssBytes, treeOf } from "./proc.ts";

test("a program's name may hold what separates the fields", () => {
  const stat = "42 (a) (b c) S 7 42 42 0 -1 0 0 0 0 0 11 12 13 14 20 0 1 0 99";
  assert.deepEqual(parseStat(stat), { program: "a) (b c", parent: 7, cpuMs: 500 });
});

test("this process is found below its parent, with memory and time", async () => {
  const all = await observeProcesses();
  const own = treeOf(process.ppid, all).find(({ pid }) => pid === process.pid);
  assert.equal(own?.parent, process.ppid);
  assert.ok((own?.cpuMs ?? 0) > 0);
  assert.ok(((await pssBytes(process.pid)) ?? 0) > 1e6);
});

test("a process that is not there has no memory and no tree", async () => {
  assert.equal(await pssBytes(2 ** 30), null);
  assert.deepEqual(treeOf(2 ** 30, await observeProcesses()), []);
});

test("frames are read from the device's own line of /proc/net/dev", () => {
  const text = [
    "Inter-|   Receive                            |  Transmit",
    " face |bytes    packets errs drop",
    "  mon0: 600      10    0    0    0     0          0         0        0       0    0    0",
    "mon01:7 99 0 0",
  ].join("\n");
  assert.deepEqual(
    [receivedFrames(text, "mon0"), receivedFrames(text, "mon01"), receivedFrames(text, "x")],
    [10, 99, 0],
  );
});
