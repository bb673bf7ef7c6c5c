import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { LiveMerge } from "./live-merge.ts";

test("items of all sources come, each source in its order, and none runs ahead", async () => {
  const end = new AbortController();
  const merge = new LiveMerge<string>(end.signal);
  const made: string[] = [];
  async function* source(name: string): AsyncGenerator<string> {
    for (let at = 0; at < 3; at += 1) {
      made.push(`${name}${at}`);
      yield `${name}${at}`;
    }
  }
  merge.add(source("a"));
  merge.add(source("b"));
  for (let at = 0; at < 5; at += 1) await turn();
  assert.deepEqual(made, ["a0", "b0"], "nobody took anything yet");
  const got: string[] = [];
  for await (const item of merge.items()) {
    got.push(item);
    if (got.length === 6) break;
  }
  assert.deepEqual(
    got.filter((i) => i.startsWith("a")),
    ["a0", "a1", "a2"],
  );
  assert.deepEqual(
    got.filter((i) => i.startsWith("b")),
    ["b0", "b1", "b2"],
  );
  end.abort();
});

test("an abort ends a reader that waits, and lets the sources go", async () => {
  const end = new AbortController();
  const merge = new LiveMerge<number>(end.signal);
  const ended = Promise.withResolvers<void>();
  async function* source(): AsyncGenerator<number> {
    try {
      yield 1;
      yield 2;
    } finally {
      ended.resolve();
    }
  }
  const got: number[] = [];
  const reading = (async () => {
    for await (const item of merge.items()) got.push(item);
  })();
  await turn();
  merge.add(source());
  while (got.length < 2) await turn();
  end.abort();
  await Promise.all([reading, ended.promise]);
});

test("a source's failure is the reader's", async () => {
  const merge = new LiveMerge<number>(new AbortController().signal);
  async function* source(): AsyncGenerator<number> {
    yield 1;
    throw new Error("broken");
  }
  merge.add(source());
  const items = merge.items();
  assert.equal((await items.next()).value, 1);
  await assert.rejects(items.next(), /broken/);
});
