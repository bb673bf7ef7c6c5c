import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { LedgerFigures, TapCounters } from "@bulkhead/schema";
import { countOutside, countTool, type OutsideCount, type ToolCount } from "./ledger-count.ts";
import { advanceFigures, NO_FIGURES } from "./ledger-figures.ts";
import { choosePath, type Sample, SAMPLES_KEPT } from "./ledger-path.ts";

/** One tap as it really is: frames pass its stages with delay and some are lost at each. */
interface World {
  seen: number;
  matched: number;
  notMirrored: number;
  received: number;
  onWire: number;
  inRing: number;
  toolReceived: number;
  toolDropped: number;
  /** Since the first start; the others are since the epoch began. */
  readonly truth: {
    seen: number;
    filtered: number;
    notMirrored: number;
    wire: number;
    processed: number;
    tool: number;
  };
  epoch: number;
  toolEpoch: number;
}

interface Step {
  readonly arrive: number;
  readonly filtered: number;
  readonly notMirrored: number;
  readonly wireLost: number;
  readonly toolLost: number;
  /** Part of what arrives that goes on before the next reading. */
  readonly atOnce: number;
  readonly event: "none" | "sensord-restart" | "tool-restart" | "tap-anew";
}

const step: fc.Arbitrary<Step> = fc.record({
  arrive: fc.integer({ min: 0, max: 5000 }),
  filtered: fc.double({ min: 0, max: 1, noNaN: true }),
  notMirrored: fc.double({ min: 0, max: 0.3, noNaN: true }),
  wireLost: fc.double({ min: 0, max: 0.3, noNaN: true }),
  toolLost: fc.double({ min: 0, max: 0.3, noNaN: true }),
  atOnce: fc.double({ min: 0, max: 1, noNaN: true }),
  event: fc.oneof(
    { weight: 8, arbitrary: fc.constant("none" as const) },
    { weight: 1, arbitrary: fc.constant("sensord-restart" as const) },
    { weight: 1, arbitrary: fc.constant("tool-restart" as const) },
    { weight: 1, arbitrary: fc.constant("tap-anew" as const) },
  ),
});

test("ledger: sums come out, nothing goes back, and at rest it is exact", () => {
  fc.assert(
    fc.property(fc.array(step, { minLength: 1, maxLength: 40 }), (steps) => {
      const world = newWorld();
      const book = newBook();
      for (const each of [...steps, ...Array.from({ length: 8 }, () => REST)]) {
        move(world, each);
        if (each.event !== "none") settle(world);
        readAll(book, world);
        report(book, world);
        if (each.event === "tap-anew") beginTapAnew(world);
        if (each.event === "tool-restart") beginToolAnew(world);
        if (each.event === "sensord-restart") book.samples = [];
        const former = book.figures;
        conclude(book);
        assertSums(book.figures);
        assertNotBack(former, book.figures);
      }
      const { truth } = world;
      assert.deepEqual(book.figures, {
        seen: truth.seen,
        filtered: truth.filtered,
        notMirrored: truth.notMirrored,
        mirrored: truth.seen - truth.filtered - truth.notMirrored,
        wireDropped: truth.wire,
        received: truth.processed + truth.tool,
        processed: truth.processed,
        toolDropped: truth.tool,
        guardDropped: 0,
      } satisfies LedgerFigures);
    }),
    { numRuns: 300 },
  );
});

test("ledger: frames on their way are not called lost", () => {
  const at = (seen: number): Sample["totals"] => ({
    seen,
    matched: seen,
    notMirrored: 0,
    received: seen,
    guardDropped: 0,
  });
  const path = { first: at(1000), second: at(2000), third: at(3000), processed: 3500 };
  const figures = advanceFigures(NO_FIGURES, path);
  assert.deepEqual(
    [figures.seen, figures.wireDropped, figures.toolDropped, figures.processed],
    [1000, 0, 0, 1000],
  );
});

test("ledger: a tool that counts what its own instrument sent takes no loss back", () => {
  const totals = { seen: 100, matched: 100, notMirrored: 0, received: 100, guardDropped: 0 };
  const path = { first: totals, second: totals, third: totals };
  const lost = advanceFigures(NO_FIGURES, { ...path, processed: 60 });
  assert.deepEqual([lost.processed, lost.toolDropped], [60, 40]);
  const claimed = advanceFigures(lost, { ...path, processed: 85 });
  assert.deepEqual([claimed.processed, claimed.toolDropped], [60, 40]);
});

test("ledger: a tool that does not run processes nothing", () => {
  const totals = { seen: 500, matched: 500, notMirrored: 0, received: 500, guardDropped: 0 };
  const samples = [1, 2, 3].map((n) => ({ atMs: n * 2000, totals }));
  const tool = { processed: 100, reportedAtMs: 1000, running: false, expectedSinceMs: 0 };
  const path = choosePath(samples, tool, 6000);
  assert.ok(path !== null);
  const figures = advanceFigures(NO_FIGURES, path);
  assert.deepEqual([figures.processed, figures.toolDropped], [100, 400]);
});

test("ledger: while a running tool is silent nothing is concluded, until it is stale", () => {
  const totals = { seen: 500, matched: 500, notMirrored: 0, received: 500, guardDropped: 0 };
  const samples = [1, 2, 3].map((n) => ({ atMs: 10_000 + n * 2000, totals }));
  const tool = { processed: 0, reportedAtMs: 9000, running: true, expectedSinceMs: 0 };
  assert.equal(choosePath(samples, tool, 20_000), null);
  assert.notEqual(choosePath(samples, tool, 29_001), null);
});

test("ledger: a counter that repeats its epoch adds the difference alone", () => {
  const counters = (epoch: string, seen: number): TapCounters => ({
    instrument: "ids",
    engine: "capture",
    epoch,
    seen,
    matched: 0,
    notMirrored: 0,
    received: 0,
    guardDropped: 0,
  });
  let count = countOutside(null, counters("a", 10));
  count = countOutside(count, counters("a", 25));
  count = countOutside(count, counters("b", 7));
  count = countOutside(count, counters("b", 5)); // a reading that goes back is not believed
  assert.equal(count.totals.seen, 32);
  let tool = countTool(null, { epoch: "1", received: 10, dropped: 2 });
  tool = countTool(tool, { epoch: "2", received: 5, dropped: 0 });
  assert.equal(tool.processed, 13);
});

const REST: Step = {
  arrive: 0,
  filtered: 0,
  notMirrored: 0,
  wireLost: 0,
  toolLost: 0,
  atOnce: 0,
  event: "none",
};

interface Book {
  outside: OutsideCount | null;
  tool: ToolCount | null;
  figures: LedgerFigures;
  samples: readonly Sample[];
  nowMs: number;
  reportedAtMs: number;
}

function newBook(): Book {
  return { outside: null, tool: null, figures: NO_FIGURES, samples: [], nowMs: 0, reportedAtMs: 0 };
}

function newWorld(): World {
  const truth = { seen: 0, filtered: 0, notMirrored: 0, wire: 0, processed: 0, tool: 0 };
  const none = { seen: 0, matched: 0, notMirrored: 0, received: 0, onWire: 0, inRing: 0 };
  return { ...none, toolReceived: 0, toolDropped: 0, truth, epoch: 1, toolEpoch: 1 };
}

/** What was on the wire or in the ring moves on; a part of what arrives goes on in the same step. */
function move(world: World, step: Step): void {
  pass(world, world.inRing, step.toolLost);
  transmit(world, world.onWire, step.wireLost);
  const out = Math.floor(step.arrive * step.filtered);
  const not = Math.floor((step.arrive - out) * step.notMirrored);
  world.seen += step.arrive;
  world.matched += step.arrive - out;
  world.notMirrored += not;
  world.onWire += step.arrive - out - not;
  world.truth.seen += step.arrive;
  world.truth.filtered += out;
  world.truth.notMirrored += not;
  transmit(world, Math.floor(world.onWire * step.atOnce), step.wireLost);
  pass(world, Math.floor(world.inRing * step.atOnce), step.toolLost);
}

function transmit(world: World, frames: number, wireLost: number): void {
  const lost = Math.floor(frames * wireLost);
  world.onWire -= frames;
  world.truth.wire += lost;
  world.received += frames - lost;
  world.inRing += frames - lost;
}

function pass(world: World, frames: number, toolLost: number): void {
  const lost = Math.floor(frames * toolLost);
  world.inRing -= frames;
  world.toolReceived += frames;
  world.toolDropped += lost;
  world.truth.tool += lost;
  world.truth.processed += frames - lost;
}

/** Lets everything that is on its way arrive. */
function settle(world: World): void {
  move(world, REST);
  move(world, REST);
}

function readAll(book: Book, { seen, matched, notMirrored, received, epoch }: World): void {
  book.nowMs += 2000;
  book.outside = countOutside(book.outside, {
    instrument: "ids",
    engine: "capture",
    epoch: `tap-${epoch}`,
    seen,
    matched,
    notMirrored,
    received,
    guardDropped: 0,
  });
  const sample = { atMs: book.nowMs, totals: book.outside.totals };
  book.samples = [...book.samples, sample].slice(-SAMPLES_KEPT);
}

function report(book: Book, world: World): void {
  book.reportedAtMs = book.nowMs + 100;
  book.tool = countTool(book.tool, {
    epoch: `tool-${world.toolEpoch}`,
    received: world.toolReceived,
    dropped: world.toolDropped,
  });
}

function conclude(book: Book): void {
  const sight = {
    processed: book.tool?.processed ?? 0,
    reportedAtMs: book.reportedAtMs,
    running: true,
    expectedSinceMs: 0,
  };
  const path = choosePath(book.samples, sight, book.nowMs + 200);
  if (path !== null) book.figures = advanceFigures(book.figures, path);
}

function beginTapAnew(world: World): void {
  Object.assign(world, { seen: 0, matched: 0, notMirrored: 0, received: 0 });
  world.epoch += 1;
}

function beginToolAnew(world: World): void {
  Object.assign(world, { toolReceived: 0, toolDropped: 0 });
  world.toolEpoch += 1;
}

function assertSums(f: LedgerFigures): void {
  assert.equal(f.seen, f.filtered + f.mirrored + f.notMirrored);
  assert.equal(f.mirrored, f.wireDropped + f.received);
  assert.equal(f.received, f.processed + f.toolDropped);
}

function assertNotBack(former: LedgerFigures, now: LedgerFigures): void {
  for (const key of Object.keys(former) as (keyof LedgerFigures)[]) {
    assert.ok(now[key] >= former[key], `${key} went from ${former[key]} back to ${now[key]}`);
  }
}
