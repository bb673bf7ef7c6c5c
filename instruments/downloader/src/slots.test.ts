/** Slots. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Slots } from "./slots.ts";

test("no more than so many at a time, in their order, and a failure gives its slot back", async () => {
  const slots = new Slots(2);
  const log: string[] = [];
  let running = 0;
  const work = (name: string) =>
    slots.use(async () => {
      running += 1;
      assert.ok(running <= 2);
      log.push(name);
      await new Promise((resolve) => setImmediate(resolve));
      running -= 1;
      if (name === "b") throw new Error("b");
      return name;
    });
  const outcomes = await Promise.allSettled(["a", "b", "c", "d"].map(work));
  assert.deepEqual(log, ["a", "b", "c", "d"]);
  assert.deepEqual(
    outcomes.map(({ status }) => status),
    ["fulfilled", "rejected", "fulfilled", "fulfilled"],
  );
  assert.equal(await work("e"), "e");
});
