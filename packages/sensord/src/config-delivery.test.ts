import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate } from "node:timers/promises";
import type { ConfigCommand } from "@bulkhead/schema";
import { ConfigDelivery, type ConfigFaults } from "./config-delivery.ts";
import { SILENT } from "./log.ts";

const command = (version: string): ConfigCommand => ({
  version,
  config: {},
  retentionMs: null,
  files: null,
});

interface Asked {
  readonly version: string;
  readonly signal: AbortSignal;
  answer(reply: unknown): void;
  fail(): void;
}

/** A sender whose answers the test gives one by one. */
function makeDelivery() {
  const asked: Asked[] = [];
  const refused: [string, string, ConfigFaults][] = [];
  const delivery = new ConfigDelivery({
    log: SILENT,
    retry: { firstMs: 1, longestMs: 2 },
    onRefused: (...refusal) => refused.push(refusal),
    sender: {
      sendConfig: (_instrument, { version }, { signal }) => {
        const { promise, resolve, reject } = Promise.withResolvers<unknown>();
        asked.push({ version, signal, answer: resolve, fail: () => reject(new Error("nobody")) });
        return promise;
      },
    },
  });
  return { delivery, asked, refused };
}

async function until(holds: () => boolean): Promise<void> {
  for (let i = 0; !holds(); i += 1) {
    assert.ok(i < 1_000_000, "it never came");
    await setImmediate();
  }
}

test("config delivery: pressed until it is answered", async () => {
  const { delivery, asked } = makeDelivery();
  delivery.want(new Map([["ids", command("a")]]));
  assert.deepEqual(delivery.state("ids"), { version: "a", outcome: "pending", faults: [] });
  asked[0]?.fail();
  await until(() => asked.length === 2);
  asked[1]?.answer({ outcome: "applied", version: "a" });
  await delivery.settled(["ids"], AbortSignal.timeout(10_000));
  assert.equal(delivery.state("ids").outcome, "applied");
  assert.equal(asked.length, 2);
});

test("config delivery: an answer for another version, or none at all, does not count", async () => {
  const { delivery, asked } = makeDelivery();
  delivery.want(new Map([["ids", command("a")]]));
  for (const reply of [
    { outcome: "applied", version: "b" },
    "yes",
    { outcome: "refused", version: "a", faults: [] },
  ]) {
    const before = asked.length;
    asked.at(-1)?.answer(reply);
    await until(() => asked.length > before);
  }
  assert.equal(delivery.state("ids").outcome, "pending");
  delivery[Symbol.dispose]();
});

test("config delivery: a new version takes over, and a late answer to the former is nothing", async () => {
  const { delivery, asked } = makeDelivery();
  delivery.want(new Map([["ids", command("a")]]));
  delivery.want(new Map([["ids", command("b")]]));
  assert.equal(asked[0]?.signal.aborted, true);
  asked[0]?.answer({ outcome: "applied", version: "a" });
  await setImmediate();
  assert.deepEqual(delivery.state("ids"), { version: "b", outcome: "pending", faults: [] });
  asked[1]?.answer({ outcome: "applied", version: "b" });
  await until(() => delivery.state("ids").outcome === "applied");
});

test("config delivery: a refusal is told once, is not pressed, and stands over a greeting", async () => {
  const { delivery, asked, refused } = makeDelivery();
  const refusal = { outcome: "refused", version: "a", faults: [{ message: "no" }] };
  delivery.want(new Map([["ids", command("a")]]));
  asked[0]?.answer(refusal);
  await until(() => delivery.state("ids").outcome === "refused");
  delivery.hello("ids");
  assert.equal(delivery.state("ids").outcome, "refused");
  asked[1]?.answer(refusal);
  await setImmediate();
  delivery.want(new Map([["ids", command("a")]]));
  await setImmediate();
  assert.deepEqual([asked.length, refused.length], [2, 1]);
});

test("config delivery: who greets is told again, who is not wanted is told nothing", async () => {
  const { delivery, asked } = makeDelivery();
  delivery.hello("ids");
  assert.equal(asked.length, 0);
  delivery.want(new Map([["ids", command("a")]]));
  asked[0]?.answer({ outcome: "applied", version: "a" });
  await until(() => delivery.state("ids").outcome === "applied");
  delivery.hello("ids");
  assert.equal(asked.length, 2);
  delivery.want(new Map());
  assert.equal(asked[1]?.signal.aborted, true);
  assert.equal(delivery.state("ids").outcome, "none");
});

test("config delivery: waiting for answers ends with its signal", async () => {
  const { delivery } = makeDelivery();
  delivery.want(new Map([["ids", command("a")]]));
  await delivery.settled(["ids"], AbortSignal.timeout(20));
  assert.equal(delivery.state("ids").outcome, "pending");
  delivery[Symbol.dispose]();
});
