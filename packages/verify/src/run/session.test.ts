import assert from "node:assert/strict";
import { test } from "node:test";
import { ATTEMPTS } from "../attempts/index.ts";
import { batches } from "./session.ts";

test("no adversary is of two actors or makes too many attempts, and every attempt is made once", () => {
  const all = batches(ATTEMPTS);
  const ids = all.flatMap(({ own }) => own.map(({ id }) => id));
  assert.deepEqual(ids.toSorted(), ATTEMPTS.map(({ id }) => id).toSorted());
  for (const { actor, own } of all) {
    assert.ok(own.every((one) => one.actor === actor));
    assert.ok(own.length <= 45, `${own.length} attempts of one adversary`);
  }
});

test("whatever may kill the adversary comes last, and alone", () => {
  const [first, second, third] = ATTEMPTS.filter(({ actor }) => actor === "user");
  assert.ok(first && second && third);
  const deadly = { ...first, mayKill: true } as const;
  const another = { ...second, mayKill: true } as const;
  const made = batches([deadly, another, third]).map(({ own }) => own.map(({ id }) => id));
  assert.deepEqual(made, [[third.id], [first.id], [second.id]]);
});
