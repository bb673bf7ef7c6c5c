import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { ATTACKS, ATTACK_IDS, isAttackId } from "./attacks.ts";

const text = await readFile(new URL("../rules/demo.rules", import.meta.url), "utf8");
const rules = text.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
const field = (rule: string, pattern: RegExp): string => pattern.exec(rule)?.[1] ?? assert.fail(rule);

test("attacks and rules name each other, and no sid is there twice", () => {
  const byRule = rules.map((rule) => {
    const attack = field(rule, /metadata:bulkhead_attack ([a-z0-9-]+)/);
    assert.ok(isAttackId(attack), attack);
    return `${attack} ${field(rule, /sid:(\d+);/)}`;
  });
  const byAttack = ATTACK_IDS.flatMap((id) => ATTACKS[id].signatures.map((sid) => `${id} ${sid}`));
  assert.deepEqual(byRule.toSorted(), byAttack.toSorted());
  assert.equal(new Set(byRule.map((line) => line.split(" ")[1])).size, rules.length);
});

test("each rule has a message, a class, a revision and a sid of the demo's range", () => {
  for (const rule of rules) {
    field(rule, /msg:"(DEMO [^"]+)"/);
    field(rule, /classtype:([a-z-]+);/);
    field(rule, /rev:(\d+);/);
    const sid = Number(field(rule, /sid:(\d+);/));
    assert.ok(sid > 9_000_000 && sid < 9_000_100, String(sid));
  }
});

test("a word that is no attack is not taken for one", () => {
  assert.equal(isAttackId("toString"), false);
  assert.equal(isAttackId("sql-injection"), true);
});
