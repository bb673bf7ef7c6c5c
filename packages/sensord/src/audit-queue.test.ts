import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import type { AuditEntry } from "@bulkhead/schema";
import { AuditQueue } from "./audit-queue.ts";
import { isSensordError, SensordError } from "./error.ts";
import { SILENT } from "./log.ts";

test("audit queue: entries wait while warden is away and come in order", async () => {
  const taken: AuditEntry[] = [];
  let away = true;
  const sink = {
    audit: async (entry: AuditEntry) => {
      if (away) throw new SensordError("warden-unreachable", "away");
      taken.push(entry);
    },
  };
  await using queue = new AuditQueue(sink, SILENT);
  for (const kind of ["a", "b", "c"]) queue.append(kind, "local:root", {});
  await delay(20);
  assert.equal(queue.waiting, 3);
  away = false;
  for (let i = 0; queue.waiting > 0 && i < 500; i += 1) await delay(20);
  assert.deepEqual(
    taken.map(({ kind }) => kind),
    ["a", "b", "c"],
  );
});

test("audit queue: an entry that warden refuses does not hold up the others", async () => {
  const taken: string[] = [];
  const sink = {
    audit: async ({ kind }: AuditEntry) => {
      if (kind === "bad") throw new SensordError("warden-refused", "no", { fields: { status: 400 } });
      taken.push(kind);
    },
  };
  const queue = new AuditQueue(sink, SILENT);
  queue.append("bad", "x", {});
  queue.append("good", "x", { text: "x".repeat(10_000) });
  await queue[Symbol.asyncDispose]();
  assert.deepEqual(taken, ["good"]);
});

test("audit queue: what could not be recorded is refused beforehand", async () => {
  const sink = { audit: () => Promise.reject(new SensordError("warden-unreachable", "away")) };
  const queue = new AuditQueue(sink, SILENT);
  queue.admit();
  for (let i = 0; i < 1000; i += 1) queue.append("k", "s", {});
  assert.throws(
    () => queue.admit(),
    (error) => isSensordError(error, "audit-behind"),
  );
  await queue[Symbol.asyncDispose]();
});
