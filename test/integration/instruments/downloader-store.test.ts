/** The downloader's store, killed before each of its steps: what is there afterwards is the old version or the new, whole. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { cp, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { after, before, test } from "node:test";
import { SourceStore } from "@bulkhead/instrument-downloader";

const PROCESS = fileURLToPath(import.meta.resolve("./downloader-kill-process.ts"));
const NEVER = 1_000;
/** Of a store that takes a version: more would be a loop. */
const MOST_STEPS = 30;

let dir: string;
before(async () => {
  dir = await mkdtemp(join(tmpdir(), "bulkhead-downloader-store-"));
});
after(() => rm(dir, { recursive: true, force: true }));

/** @returns whether it came to its end */
async function take(root: string, text: string, dieBefore: number): Promise<boolean> {
  const content = join(dir, "content");
  await writeFile(content, text);
  const child = spawn(process.execPath, [PROCESS, root, content, String(dieBefore)], { stdio: "inherit" });
  const [code, signal] = await once(child, "exit");
  if (code !== 0) assert.equal(signal, "SIGKILL");
  return code === 0;
}

async function textOf(store: SourceStore): Promise<string | null> {
  const { current } = store.record;
  return current === null ? null : readFile(store.contentPath(current), "utf8");
}

test("killed before any step, it has the old version or the new one", async () => {
  const seen = new Set<string | null>();
  const before = join(dir, "before");
  assert.equal(await take(before, "old", NEVER), true);
  for (let step = 0; ; step += 1) {
    assert.ok(step < MOST_STEPS);
    const root = join(dir, `killed-${step}`);
    await cp(before, root, { recursive: true });
    const ended = await take(root, "new", step);
    const store = await SourceStore.open(root, "feed");
    const text = await textOf(store);
    assert.ok(text === "old" || text === "new", `${step}: ${text}`);
    seen.add(text);
    const files = await readdir(join(root, "feed"));
    // The answer that was being taken may be gone on with; nothing else stays.
    const strange = files.filter((name) => !/^(record\.json|body|content-[0-9a-f]{64})$/.test(name));
    assert.deepEqual(strange, [], `after step ${step}`);
    assert.equal(files.filter((name) => name.startsWith("content-")).length, 1, `after step ${step}`);
    if (ended) break;
  }
  assert.deepEqual([...seen], ["old", "new"], "no step brought the old one back");
});

test("a first version that never came to be is none", async () => {
  const root = join(dir, "first");
  assert.equal(await take(root, "new", 1), false);
  assert.equal(await textOf(await SourceStore.open(root, "feed")), null);
});

test("a content that a disk lost, and a record that it damaged, are none", async () => {
  const root = join(dir, "damaged");
  await take(root, "good", NEVER);
  const store = await SourceStore.open(root, "feed");
  const { current } = store.record;
  assert.ok(current !== null);
  await writeFile(store.contentPath(current), "evil");
  assert.equal((await SourceStore.open(root, "feed")).record.current, null);
  await take(root, "good", NEVER);
  assert.equal(await textOf(await SourceStore.open(root, "feed")), "good");
  await writeFile(join(root, "feed/record.json"), '{"formatVersion":1,');
  assert.equal((await SourceStore.open(root, "feed")).record.current, null);
});
