/**
 * Retention whole: a sensord with an injected clock, a real broker, a real instrument that keeps
 * records, and a warden that the test plays.
 */
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import type { ClockReading } from "@bulkhead/core";
import {
  API_ROUTES,
  ClockState,
  EraseReply,
  EventRecord,
  RetentionReport,
  type RetentionRow,
  SensorStatus,
} from "@bulkhead/schema";
import { eventually } from "@bulkhead/testkit";
import { askApi, makeSensorStand, type SensorStand } from "../sensord/sensor-stand.ts";
import { type Keeper, startKeeper } from "./keeper.ts";

const HOUR = 3_600_000;
const DAY = 24 * HOUR;
const YEAR = 365 * DAY;

const SITE = `apiVersion: bulkhead/v1
sensor: test-hq
policy: { retention: { maximum: 60d, platform: 20d } }
instruments:
  keeper: { package: keeper, retention: 10d }
`;

/** The host's clocks: they go on as time does, and are moved by the test. */
class TestClock {
  readonly #beganMs = performance.now();
  #passedMs = 0;
  /** By how much the host's clock was set. */
  setByMs = 0;
  readonly #firstMs = Date.now();

  get wallMs(): number {
    return this.#firstMs + this.setByMs + this.#elapsedMs();
  }

  /** Time goes by. */
  pass(ms: number): void {
    this.#passedMs += ms;
  }

  readonly read = (): ClockReading => ({
    wallMs: this.wallMs,
    uptimeMs: 1_000_000 + this.#elapsedMs(),
    bootId: "boot-1",
  });

  #elapsedMs(): number {
    return Math.round(performance.now() - this.#beganMs) + this.#passedMs;
  }
}

async function stand(clock: TestClock): Promise<SensorStand> {
  const made = await makeSensorStand({ clock: clock.read, retentionPace: { tickMs: 50, answerMs: 3_000 } });
  await made.accept("v1", SITE);
  return made;
}

async function reportOf({ layout }: SensorStand): Promise<RetentionReport> {
  const answer = await askApi(layout.apiSocket, API_ROUTES.retention.path);
  assert.equal(answer.status, 200, answer.text);
  return RetentionReport.parse(answer.json);
}

async function rowIs(
  place: SensorStand,
  key: string,
  what: string,
  is: (row: RetentionRow) => boolean,
): Promise<RetentionRow> {
  let last: RetentionRow | undefined;
  return eventually(`${key}: ${what}`, async () => {
    last = (await reportOf(place)).rows.find(({ owner, store }) => `${owner} ${store}` === key);
    return last !== undefined && is(last) ? last : null;
  }).catch((error: unknown) => {
    throw new Error(`${key} was last ${JSON.stringify(last)}`, { cause: error });
  });
}

/** Lets an hour go by, in which everything is looked at, and waits until it was. */
async function hourGoesBy(place: SensorStand, clock: TestClock): Promise<void> {
  const before = await reportOf(place);
  const at = before.rows.find(({ store }) => store === "records")?.reported.at;
  clock.pass(HOUR + 1);
  await rowIs(place, "keeper records", "was asked again", ({ reported }) => reported.at !== at);
  // The others were due at the same tick; theirs are quicker, and another tick makes it certain.
  await new Promise((resolve) => setTimeout(resolve, 500));
}

async function notes(place: SensorStand): Promise<readonly EventRecord[]> {
  return eventsOf(place, "keeper.note");
}

async function eventsOf({ layout }: SensorStand, type: string): Promise<readonly EventRecord[]> {
  const answer = await askApi(layout.apiSocket, `${API_ROUTES.events.path}?type=${type}&limit=100`);
  return answer.text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => EventRecord.parse(JSON.parse(line)));
}

async function emit(place: SensorStand, keeper: Keeper, count: number): Promise<void> {
  const before = (await notes(place)).length;
  for (let n = 0; n < count; n += 1) keeper.tell({ emit: `note ${n}` });
  await eventually("the notes", async () => (await notes(place)).length === before + count || null);
}

async function erase(place: SensorStand, body: unknown): Promise<EraseReply> {
  const route = API_ROUTES.retentionErase.path.replace("{instrument}", "keeper");
  const answer = await askApi(place.layout.apiSocket, route, { method: "POST", body });
  assert.equal(answer.status, 200, answer.text);
  return EraseReply.parse(answer.json);
}

test("records and events go when their period is over, by a clock that a jump does not move", async () => {
  const clock = new TestClock();
  await using place = await stand(clock);
  await using keeper = await startKeeper(place);
  const old = clock.wallMs - 15 * DAY;
  const young = clock.wallMs - 5 * DAY;
  keeper.tell({ keep: [old, young] });
  await eventually("its records", () => keeper.records.length > 0 || null);
  await hourGoesBy(place, clock);
  const records = await rowIs(place, "keeper records", "the old one is gone", ({ reported }) => {
    return reported.outcome === "answered" && reported.oldest === new Date(young).toISOString();
  });
  assert.deepEqual([records.periodMs, records.by], [10 * DAY, "site.yaml:5"]);
  assert.deepEqual(keeper.records, [young]);
  await eventually("the record of it", () => {
    const entry = place.warden.audits.find(
      ({ kind, detail }) => kind === "retention.purge" && detail["store"] === "records",
    );
    return entry !== undefined && entry.subject === "keeper" && entry.detail["removed"] === 1 ? entry : null;
  });

  await emit(place, keeper, 5);
  await hourGoesBy(place, clock);
  const events = await rowIs(place, "keeper events", "measured", ({ measured }) => measured.oldest !== null);
  assert.equal(events.periodMs, 10 * DAY);
  assert.ok((events.sizeBytes ?? 0) > 0);
  const policy = (await reportOf(place)).policy;
  assert.deepEqual(policy, { minimumMs: null, maximumMs: 60 * DAY, platformMs: 20 * DAY });

  for (const [jump, state] of [
    [YEAR, "differs"],
    [-YEAR, "differs"],
  ] as const) {
    clock.setByMs = jump;
    await hourGoesBy(place, clock);
    const report = await reportOf(place);
    assert.equal(report.clock.state, state);
    assert.deepEqual(keeper.records, [young], `nothing is deleted by a jump of ${jump / DAY} days`);
    assert.equal((await notes(place)).length, 5);
    assert.deepEqual(
      report.rows.flatMap(({ breaches }) => breaches),
      [],
      "nor is anything called overdue",
    );
    const status = SensorStatus.parse((await askApi(place.layout.apiSocket, API_ROUTES.status.path)).json);
    assert.ok(status.problems.some(({ code }) => code === "clock-differs"));
    clock.setByMs = 0;
    await eventually(
      "put right, it agrees again",
      async () => (await reportOf(place)).clock.state === "agrees" || null,
    );
  }

  clock.pass(9 * DAY);
  await eventually("the young one went", () => keeper.records.length === 0 || null);
  assert.equal((await notes(place)).length, 5, "the events are not as old yet");
  clock.pass(DAY);
  await eventually("the events went", async () => (await notes(place)).length === 0 || null);
  await eventually("their count is recorded", () => {
    const entry = place.warden.audits.find(
      ({ kind, detail }) =>
        kind === "retention.purge" && detail["store"] === "events" && detail["removed"] === 5,
    );
    return entry ?? null;
  });
  assert.ok(!JSON.stringify(place.warden.audits).includes("note 1"), "counts, never content");
});

test("an operator's word makes the host's clock the one that counts; it outlives a restart", async () => {
  const clock = new TestClock();
  await using place = await stand(clock);
  await eventually("agrees", async () => (await reportOf(place)).clock.state === "agrees" || null);
  clock.setByMs = YEAR;
  await eventually("differs", async () => (await reportOf(place)).clock.state === "differs" || null);
  await place.stopSensord();
  await place.startSensord();
  assert.equal((await reportOf(place)).clock.state, "differs", "a restart forgets nothing");
  const answer = await askApi(place.layout.apiSocket, API_ROUTES.retentionClock.path, {
    method: "POST",
    body: {},
  });
  assert.equal(ClockState.parse(answer.json).state, "agrees");
  assert.ok(place.warden.audits.some(({ detail }) => detail["route"] === "retentionClock"));
  await place.stopSensord();
  await place.startSensord();
  assert.equal((await reportOf(place)).clock.state, "agrees");
  const kept = await readFile(join(place.layout.sensordDir, "retention.json"), "utf8");
  assert.equal(JSON.parse(kept).version, 1);
  // A bus that is being set up does not end as quickly as one that is.
  await rowIs(
    place,
    "platform events",
    "measured",
    ({ measured }) => measured.oldest !== null || !measured.how.startsWith("not"),
  );
});

test("an instrument that lies is found by the births of its files; the breach is told, and cleared", async () => {
  const clock = new TestClock();
  await using place = await stand(clock);
  await using keeper = await startKeeper(place);
  const born = new Date(clock.wallMs - 40 * DAY).toISOString();
  place.warden.volumes = {
    keeper: [{ id: "store", usedBytes: 4096, births: { oldest: born, files: 3, complete: true } }],
  };
  keeper.tell({ lie: clock.wallMs - DAY });
  await hourGoesBy(place, clock);
  const row = await rowIs(place, "keeper records", "overdue", ({ breaches }) => breaches.length > 0);
  assert.equal(row.reported.outcome, "answered");
  assert.deepEqual(
    row.breaches.map(({ basis, oldest, record, periodMs }) => [basis, oldest, record, periodMs]),
    [["measured", born, "a file in /data/store", 10 * DAY]],
  );
  assert.ok(place.warden.births.includes("keeper/store"));
  assert.equal(row.sizeBytes, 4096);
  const status = SensorStatus.parse((await askApi(place.layout.apiSocket, API_ROUTES.status.path)).json);
  assert.ok(
    status.problems.some(({ code, target }) => code === "retention-breach" && target === "keeper/records"),
  );
  const [opened] = await eventually("the event", async () => {
    const told = await eventsOf(place, "retention.breach");
    return told.length > 0 ? told : null;
  });
  const data = opened?.data as Readonly<Record<string, unknown>>; // asserted below
  assert.deepEqual(
    [data["state"], data["instrument"], data["oldest"], data["by"]],
    ["open", "keeper", born, "site.yaml:5"],
  );

  place.warden.volumes = {
    keeper: [{ id: "store", usedBytes: 4096, births: { oldest: null, files: 0, complete: true } }],
  };
  await hourGoesBy(place, clock);
  await rowIs(place, "keeper records", "no longer overdue", ({ breaches }) => breaches.length === 0);
  await eventually("the event of it", async () => {
    const told = await eventsOf(place, "retention.breach");
    return told.length === 2 || null;
  });
});

test("one that is not there, or does not answer, is shown as such and holds up nobody", async () => {
  const clock = new TestClock();
  await using place = await stand(clock);
  await rowIs(place, "keeper records", "is silent", ({ reported }) => reported.outcome === "silent");
  await using keeper = await startKeeper(place);
  clock.pass(HOUR + 1);
  await rowIs(place, "keeper records", "answered", ({ reported }) => reported.outcome === "answered");
  keeper.freeze();
  clock.pass(HOUR + 1);
  const row = await rowIs(
    place,
    "keeper records",
    "is silent again",
    ({ reported }) => reported.outcome === "silent",
  );
  assert.match(row.reported.detail, /did not answer/);
  await rowIs(
    place,
    "platform events",
    "measured all the same",
    ({ measured }) => !measured.how.startsWith("not"),
  );
  const erased = await erase(place, {});
  assert.deepEqual([erased.complete, erased.records.outcome], [false, "silent"]);
});

test("erase: what is older than a moment, or everything, is gone, and counted in the record", async () => {
  const clock = new TestClock();
  await using place = await stand(clock);
  await using keeper = await startKeeper(place);
  const young = clock.wallMs - HOUR;
  keeper.tell({ keep: [clock.wallMs - 3 * DAY, clock.wallMs - 2 * DAY, young] });
  keeper.tell({ log: "a line before" });
  await emit(place, keeper, 3);
  await new Promise((resolve) => setTimeout(resolve, 20));
  const before = new Date();
  await new Promise((resolve) => setTimeout(resolve, 20));
  await emit(place, keeper, 2);
  const first = await erase(place, { before: new Date(clock.wallMs - DAY).toISOString() });
  assert.deepEqual([first.complete, first.records.removed, first.events], [true, 2, 0]);
  assert.equal(first.records.oldest, new Date(young).toISOString());
  const second = await erase(place, { before: before.toISOString() });
  assert.deepEqual([second.complete, second.records.removed, second.events], [true, 1, 3]);
  assert.equal((await notes(place)).length, 2);
  keeper.tell({ keep: [clock.wallMs + YEAR] });
  const all = await erase(place, {});
  assert.deepEqual(
    [all.complete, all.records.removed, all.events],
    [true, 1, 2],
    "also what carries a time to come",
  );
  assert.deepEqual(await notes(place), []);
  const counts = await eventually("the records", () => {
    const found = place.warden.audits.filter(({ kind }) => kind === "retention.erase");
    return found.length === 3 ? found : null;
  });
  assert.deepEqual(
    counts.map(({ detail }) => [detail["by"], detail["records"], detail["events"]]),
    [
      ["local:root", 2, 0],
      ["local:root", 1, 3],
      ["local:root", 1, 2],
    ],
  );
  const nobody = API_ROUTES.retentionErase.path.replace("{instrument}", "nobody");
  const unknown = await askApi(place.layout.apiSocket, nobody, { method: "POST", body: {} });
  assert.deepEqual([unknown.status, unknown.json["code"]], [404, "unknown-instrument"]);
});

test("after a destruction of its data an instrument's stream is emptied, once", async () => {
  const clock = new TestClock();
  await using place = await stand(clock);
  await using keeper = await startKeeper(place);
  await emit(place, keeper, 4);
  const erasures = [{ instrument: "keeper", id: "first", at: new Date().toISOString() }];
  place.warden.set({ erasures });
  await eventually("nothing is left", async () => (await notes(place)).length === 0 || null);
  await emit(place, keeper, 1);
  await place.stopSensord();
  await place.startSensord();
  clock.pass(HOUR + 1);
  await rowIs(place, "keeper events", "looked at", ({ measured }) => measured.oldest !== null);
  assert.equal((await notes(place)).length, 1, "what came after it stays");
});
