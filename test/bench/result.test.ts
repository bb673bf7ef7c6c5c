import assert from "node:assert/strict";
import { test } from "node:test";
import { Report, Result, resultOf } from "./result.ts";

const goal = { on: "tc", op: ">=", value: 0.95, note: "of bare tc", heldBack: "the guards" } as const;

test("samples become a value with quartiles, and ratios to what stands beside it", () => {
  const result = resultOf({
    id: "datapath.1x60",
    unit: "frames/s",
    samples: [90, 110, 100, 100],
    beside: { tc: [100, 100, 200], limit: [200] },
    goals: [goal],
  });
  assert.deepEqual(Result.parse(result), {
    id: "datapath.1x60",
    value: 100,
    unit: "frames/s",
    spread: [97.5, 102.5],
    beside: { tc: 100, limit: 200 },
    ratio: { tc: 1, limit: 0.5 },
    aims: [{ on: "tc", op: ">=", value: 0.95, met: true, note: "of bare tc" }],
  });
});

test("an aim that is missed or could not be judged is shown as not met, with the reason", () => {
  const missed = resultOf({ id: "a", unit: "s", samples: [90], beside: { tc: [100] }, goals: [goal] });
  assert.deepEqual(missed.aims[0], {
    on: "tc",
    op: ">=",
    value: 0.95,
    met: false,
    note: "of bare tc; held back: the guards",
  });
  const disturbed = resultOf({
    id: "a",
    unit: "s",
    samples: [80, 90, 100],
    beside: { tc: [100] },
    goals: [goal],
  });
  assert.equal(disturbed.aims[0]?.met, false);
  assert.match(disturbed.aims[0]?.note ?? "", /better quartile of this run meets it$/);
  const unknown = resultOf({ id: "a", unit: "s", samples: [90], goals: [goal] });
  assert.equal(unknown.aims[0]?.met, false);
  assert.match(unknown.aims[0]?.note ?? "", /not measured/);
});

test("an aim on the value itself is judged in both directions", () => {
  const met = (value: number, op: "<=" | ">="): boolean | undefined =>
    resultOf({ id: "a", unit: "MB", samples: [value], goals: [{ ...goal, on: "value", op, value: 200 }] })
      .aims[0]?.met;
  assert.deepEqual(
    [met(200, "<="), met(201, "<="), met(200, ">="), met(199, ">=")],
    [true, false, true, false],
  );
});

test("beside a zero there is no ratio, and nothing measured is an error", () => {
  assert.deepEqual(resultOf({ id: "a", unit: "s", samples: [0], beside: { tc: [0] } }).ratio, {});
  assert.throws(() => resultOf({ id: "a", unit: "s", samples: [] }), RangeError);
});

test("the report's shape is closed", () => {
  const machine = { cpu: "x", cores: 2, memoryBytes: 1, loadBefore: 0 };
  const host = { ...machine, kernel: "6.18", system: "Debian", node: "v24" };
  assert.ok(Report.safeParse({ bench: "sensor", host, results: [] }).success);
  assert.equal(Report.safeParse({ bench: "sensor", host, results: [], more: 1 }).success, false);
  assert.equal(
    Report.safeParse({ bench: "sensor", host: { ...host, cores: 0 }, results: [] }).success,
    false,
  );
});
