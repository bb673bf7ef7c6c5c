import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { SensorStatus } from "@bulkhead/schema";
import { sendRawFrames } from "@bulkhead/testkit";
import { wireDeviceName } from "../../packages/warden/src/datapath/naming.ts";
import { ethernet } from "./frames.ts";
import { asInstrument, floodFrom, inNamed, inNetworkOf, run } from "./inside.ts";
import { FAR_END, makeSensorStand, type SensorStand } from "./sensor-stand.ts";
import { ENGINE, ENGINE_LINE, idsLine } from "./stand-site.ts";

type Row = SensorStatus["taps"][number];

const COUNTS = [
  ...(["seen", "filtered", "mirrored", "notMirrored", "wireDropped", "received"] as const),
  ...(["processed", "toolDropped", "guardDropped"] as const),
] as const;
const FILTER = "not ether proto 0x88b5";
/** More than Suricata's ring holds. */
const FLOOD = 60_000;

test("each kind of loss is told, the sums come out, and no figure goes backwards", async (t) => {
  await using stand = await makeSensorStand("e2e-ledger");
  await stand.apply(stand.siteText([ENGINE_LINE, idsLine("ids", FILTER)].join("\n")));
  await stand.settled();
  await stand.alertFlows();
  await using watch = watchRow(stand);
  let row = await atRest(stand, { seen: stand.marked });

  // Each shows in a figure of its own, so that they can all be waited for at once.
  await t.test("left out by the filter, processed, for a wire that is down, too large for it", async () => {
    const before = row;
    await send(
      stand,
      Array.from({ length: 40 }, () => ethernet("88b5", Buffer.alloc(46))),
    );
    await flood(stand, 100, 300);
    // A tool begins anew on a new wire: what it did not report of the old one before is not known of.
    await stand.until("the tool has said so", (found) => rowOf(found).processed === before.processed + 100);
    const inside = inNetworkOf(await stand.initPid("ids"));
    const engine = inNamed(stand.engineNamespace);
    const wire = wireDeviceName(stand.layout.slug, { engine: ENGINE, instrument: "ids" });
    await whileFrozen(await stand.processPid("warden"), async () => {
      await run(engine, ["ip", "link", "set", "dev", wire, "mtu", "1000"]);
      await run(inside, ["ip", "link", "set", "dev", "mon0", "mtu", "1000"]);
      await flood(stand, 30, 2_000);
      await run(inside, ["ip", "link", "set", "dev", "mon0", "down"]);
      await flood(stand, 50, 300);
    });
    row = await atRest(
      stand,
      grown(before, {
        ...{ seen: 220, filtered: 40, mirrored: 130, notMirrored: 50 },
        ...{ wireDropped: 30, received: 100, processed: 100 },
      }),
    );
  });
  await t.test("while the tool was frozen, and those that the instrument tried to send", async () => {
    const tool = await stand.pidInside("ids", /^\/usr\/bin\/suricata -c/);
    await whileFrozen(tool, () => flood(stand, FLOOD, 600));
    const attacker = asInstrument(await stand.initPid("ids"));
    await floodFrom(attacker, stand.tools, "mon0", ["--count", "25", "--size", "60"]);
    const before = row;
    row = await atRest(stand, {
      seen: before.seen + FLOOD,
      received: before.received + FLOOD,
      guardDropped: before.guardDropped + 25,
    });
    const lost = row.toolDropped - before.toolDropped;
    assert.ok(lost > 0 && lost < FLOOD, `${lost} of ${FLOOD} dropped by the tool`);
    assert.equal(row.processed - before.processed, FLOOD - lost);
  });
  await t.test("restarts of the instrument, sensord and warden take nothing away", async () => {
    await stand.order("restart", "ids");
    await stand.settled();
    for (const name of ["sensord", "warden"] as const) {
      process.kill(await stand.processPid(name), "SIGKILL");
      await sleep(100);
      await stand.settled();
    }
    const marked = stand.marked;
    await stand.alertFlows();
    await flood(stand, 100, 300);
    const { filtered, guardDropped } = row;
    row = await atRest(stand, { seen: row.seen + 100 + stand.marked - marked, filtered, guardDropped });
  });
  assert.deepEqual(watch.backwards, []);
  assert.ok(watch.readings > 50, `${watch.readings} readings`);
});

/** What a row must come to: these figures are higher by so much, the others as they were. */
function grown(row: Row, by: Partial<Record<(typeof COUNTS)[number], number>>): Partial<Row> {
  return Object.fromEntries(COUNTS.map((key) => [key, row[key] + (by[key] ?? 0)]));
}

/** Waits until the figures are these and stay so, and checks the sums. */
async function atRest(stand: SensorStand, expected: Partial<Row>): Promise<Row> {
  let former = "";
  let same = 0;
  const status = await stand.until(`the ledger says ${JSON.stringify(expected)}, and rests`, (found) => {
    const row = rowOf(found);
    const text = JSON.stringify(row);
    same = text === former ? same + 1 : 0;
    former = text;
    const reached = Object.entries(expected).every(([key, value]) => row[key as keyof Row] === value);
    // Beside the figures: a tool reports every five seconds, and its report counts for what came before.
    return found.ok && reached && row.processed + row.toolDropped === row.received && same >= 30;
  });
  const row = rowOf(status);
  assert.equal(row.seen, row.filtered + row.mirrored + row.notMirrored);
  assert.equal(row.mirrored, row.wireDropped + row.received);
  assert.equal(row.received, row.processed + row.toolDropped);
  return row;
}

function rowOf(status: SensorStatus): Row {
  const row = status.taps.find(({ instrument }) => instrument === "ids");
  if (row === undefined) throw new Error("the tap has no row");
  return row;
}

/** Reads the row again and again; notes every figure that fell. */
function watchRow(stand: SensorStand): AsyncDisposable & {
  readonly backwards: readonly string[];
  readonly readings: number;
} {
  const ending = new AbortController();
  const backwards: string[] = [];
  const state = { readings: 0 };
  const watching = (async () => {
    let last: Row | null = null;
    while (!ending.signal.aborted) {
      // sensord is killed meanwhile.
      const status = await stand.status().catch(() => null);
      const row = status?.taps.find(({ instrument }) => instrument === "ids") ?? null;
      if (row !== null && last !== null) {
        for (const key of COUNTS)
          if (row[key] < last[key]) backwards.push(`${key}: ${last[key]}, then ${row[key]}`);
      }
      if (row !== null) state.readings += 1;
      last = row ?? last;
      await sleep(100);
    }
  })();
  return {
    backwards,
    get readings() {
      return state.readings;
    },
    [Symbol.asyncDispose]: async () => {
      ending.abort();
      await watching;
    },
  };
}

async function whileFrozen(pid: number, act: () => Promise<unknown>): Promise<void> {
  process.kill(pid, "SIGSTOP");
  try {
    await act();
  } finally {
    process.kill(pid, "SIGCONT");
  }
}

async function send(stand: SensorStand, frames: readonly string[]): Promise<void> {
  await sendRawFrames({ tools: stand.tools, namespace: stand.network.name, device: FAR_END, frames });
}

async function flood(stand: SensorStand, count: number, size: number): Promise<void> {
  const options = ["--count", String(count), "--size", String(size), "--rate", "20000"];
  assert.equal(await floodFrom(inNamed(stand.network.name), stand.tools, FAR_END, options), count);
}
