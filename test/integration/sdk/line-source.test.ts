/** The FIFO that a tool writes its records into: nothing lost, whatever the reader's pace. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { openLineSource } from "@bulkhead/sdk";

async function temporary(): Promise<AsyncDisposable & { readonly dir: string }> {
  const dir = await mkdtemp(join(tmpdir(), "bh-test-fifo-"));
  return { dir, [Symbol.asyncDispose]: () => rm(dir, { recursive: true, force: true }) };
}

/** Another process that writes `count` lines of growing length into the file, then `last` without a newline. */
async function writeLines(path: string, count: number, last = ""): Promise<void> {
  const program = `
    const fs = require("node:fs");
    const fd = fs.openSync(${JSON.stringify(path)}, "w");
    for (let n = 0; n < ${count}; n += 1) fs.writeSync(fd, n + " " + "x".repeat(n % 3000) + "\\n");
    fs.writeSync(fd, ${JSON.stringify(last)});`;
  const child = spawn(process.execPath, ["-e", program], { stdio: ["ignore", "ignore", "inherit"] });
  const [code] = (await once(child, "exit")) as readonly unknown[];
  assert.equal(code, 0);
}

test("a slow reader makes the writer wait and loses nothing; drain comes after everything", async () => {
  await using place = await temporary();
  const path = join(place.dir, "eve.fifo");
  const numbers: number[] = [];
  await using source = await openLineSource({
    path,
    maxLineBytes: 1_000_000,
    onError: (error) => assert.fail(error),
    take: async (lines) => {
      await delay(2);
      for (const line of lines) numbers.push(Number.parseInt(line.toString(), 10));
    },
  });
  assert.ok((await stat(path)).isFIFO());
  const writing = writeLines(path, 3_000, "cut off");
  await delay(200);
  assert.ok(numbers.length < 3_000, "the reader is the slower one");
  await writing;
  await source.drain();
  assert.equal(numbers.length, 3_001, "the half line counts as one");
  assert.ok(Number.isNaN(numbers.pop()));
  assert.deepEqual(
    numbers,
    Array.from({ length: 3_000 }, (_, n) => n),
  );
  await writeLines(path, 1);
  await source.drain();
  assert.deepEqual(numbers.slice(3_000), [0], "the next writer's first line is whole");
});

test("lines over the limit are left out and counted", async () => {
  await using place = await temporary();
  const path = join(place.dir, "eve.fifo");
  const lengths: number[] = [];
  await using source = await openLineSource({
    path,
    maxLineBytes: 1_000,
    onError: (error) => assert.fail(error),
    take: async (lines) => void lengths.push(...lines.map((line) => line.length)),
  });
  await writeLines(path, 3_000);
  await source.drain();
  const fitting = Array.from({ length: 3_000 }, (_, n) => `${n} `.length + n).filter(
    (bytes) => bytes <= 1_000,
  );
  assert.deepEqual(lengths, fitting);
  assert.equal(source.oversized, 3_000 - fitting.length);
});
