import assert from "node:assert/strict";
import { test } from "node:test";
import type { LogLine, Name } from "@bulkhead/schema";
import { LastWords } from "./last-words.ts";
import { SILENT } from "./log.ts";

const line = (message: string): LogLine => ({ time: "2026-01-01T00:00:00Z", level: "error", message });
const crash = (count: number) => ({ instrument: "ids", count, nextStart: null, reason: "exit 1" });
const rest = () => new Promise((resolve) => setImmediate(resolve));

test("last words: read once for each end, forgotten with the crash, and asked again after a failure", async () => {
  const reads: Name[] = [];
  let away = false;
  await using words = new LastWords({
    log: SILENT,
    async *logs(instrument) {
      reads.push(instrument);
      if (away) throw new Error("the broker is away");
      yield line(`end ${reads.length}`);
    },
  });
  assert.deepEqual(words.of("ids"), []);
  words.follow([crash(1)]);
  words.follow([crash(1)]);
  await rest();
  words.follow([crash(1)]);
  await rest();
  assert.equal(reads.length, 1);
  assert.deepEqual(words.of("ids"), [line("end 1")]);

  away = true;
  words.follow([crash(2)]);
  await rest();
  assert.deepEqual(words.of("ids"), [line("end 1")], "what was known stays");
  away = false;
  words.follow([crash(2)]);
  await rest();
  assert.deepEqual(words.of("ids"), [line("end 3")]);

  words.follow([]);
  assert.deepEqual(words.of("ids"), []);
});
