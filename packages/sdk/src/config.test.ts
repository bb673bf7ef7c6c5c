import assert from "node:assert/strict";
import { test } from "node:test";
import * as z from "zod";
import { ConfigDesk } from "./config.ts";

const Schema = z.strictObject({ size: z.int().max(10).default(1) });

function command(version: string, config: object) {
  return { version, config, retentionMs: null, files: null };
}

test("checked, applied, and the same version twice changes nothing", async () => {
  const applied: unknown[] = [];
  const desk = new ConfigDesk(Schema, (config) => void applied.push(config));
  assert.equal(desk.version, null);
  assert.deepEqual(await desk.take(command("a", {})), { outcome: "applied", version: "a" });
  assert.deepEqual(await desk.take(command("a", {})), { outcome: "applied", version: "a" });
  assert.deepEqual(applied, [{ size: 1 }]);
  assert.equal(desk.version, "a");
});

test("what does not fit the schema never reaches the instrument; all faults are told", async () => {
  const desk = new ConfigDesk(Schema, () => assert.fail("not to be applied"));
  const answer = await desk.take(command("a", { size: 11, more: 1 }));
  assert.ok(answer.outcome === "refused");
  assert.equal(answer.faults.length, 2);
  assert.ok(answer.faults.some(({ message }) => message.startsWith("size: ")));
  assert.equal((await desk.take("nonsense")).outcome, "refused");
  assert.equal((await desk.take({ version: "b" })).version, "");
  assert.equal(desk.version, null);
});

test("a refusal or a failure leaves the former version in force", async () => {
  const desk = new ConfigDesk(Schema, ({ size }) => {
    if (size === 2) return { outcome: "refused", faults: [{ file: "a.rules", line: 3, message: "bad" }] };
    if (size === 3) throw new Error("disk full");
    return { outcome: "applied", note: "well" };
  });
  assert.deepEqual(await desk.take(command("a", {})), { outcome: "applied", version: "a", note: "well" });
  assert.deepEqual(await desk.take(command("b", { size: 2 })), {
    outcome: "refused",
    version: "b",
    faults: [{ file: "a.rules", line: 3, message: "bad" }],
  });
  const failed = await desk.take(command("c", { size: 3 }));
  assert.ok(failed.outcome === "refused" && failed.faults[0]?.message.includes("disk full"));
  assert.equal(desk.version, "a");
});

test("commands that come together are taken one after the other", async () => {
  const order: string[] = [];
  const desk = new ConfigDesk(Schema, async (_config, { version }) => {
    order.push(`${version} begins`);
    await new Promise((resolve) => setTimeout(resolve, 5));
    order.push(`${version} ends`);
  });
  await Promise.all([desk.take(command("a", {})), desk.take(command("b", {}))]);
  assert.deepEqual(order, ["a begins", "a ends", "b begins", "b ends"]);
  assert.equal(desk.version, "b");
});
