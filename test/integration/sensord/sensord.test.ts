/**
 * sensord whole: a real broker, real instruments of the SDK over their own sockets, and a warden
 * that the test plays.
 */
import assert from "node:assert/strict";
import { once } from "node:events";
import { stat } from "node:fs/promises";
import { request } from "node:http";
import { connect } from "node:net";
import { join } from "node:path";
import { test } from "node:test";
import { API_ROUTES, EventRecord, LogLine, Plan, SensorStatus, type TapCounters } from "@bulkhead/schema";
import { eventually } from "@bulkhead/testkit";
import { startAgent } from "./agent.ts";
import { askApi, makeSensorStand, type SensorStand, SITE } from "./sensor-stand.ts";

async function statusOf({ layout }: SensorStand): Promise<SensorStatus> {
  const answer = await askApi(layout.apiSocket, API_ROUTES.status.path);
  assert.equal(answer.status, 200, answer.text);
  return SensorStatus.parse(answer.json);
}

async function instrumentIs(stand: SensorStand, name: string, state: string) {
  let last = "";
  return eventually(`${name} is ${state}`, async () => {
    const found = (await statusOf(stand)).instruments.find((i) => i.name === name);
    last = `${found?.state}: ${found?.detail}`;
    return found?.state === state ? found : null;
  }).catch((error: unknown) => {
    throw new Error(`${name} was last ${last}`, { cause: error });
  });
}

test("sensord: from nothing to a running sensor, its events, logs and UI", async () => {
  await using stand = await makeSensorStand();
  const { layout, warden } = stand;
  assert.equal((await stat(layout.apiSocket)).mode & 0o777, 0o600);

  const before = await statusOf(stand);
  assert.deepEqual([before.sensor, before.ok, before.instruments], [null, false, []]);

  await stand.accept("v1", SITE);
  await using ids = await startAgent(stand, "ids");
  await using pdns = await startAgent(stand, "pdns");
  await using capture = await startAgent(stand, "capture");
  for (const name of ["ids", "pdns", "capture"]) await instrumentIs(stand, name, "running");
  const status = await eventually("all is well", async () => {
    const now = await statusOf(stand);
    return now.ok ? now : null;
  });
  assert.ok(pdns.given.length > 0 && capture.given.length > 0);
  assert.equal(status.sensor, "test-hq");
  assert.equal(status.siteVersion, "v1");
  assert.deepEqual(
    status.processes.map((p) => [p.name, p.state]),
    [
      ["warden", "up"],
      ["sensord", "up"],
      ["broker", "up"],
    ],
  );
  assert.deepEqual(
    ids.given.map((g) => g.config),
    [{ level: 1 }],
  );

  // Events: what was stored, then what comes.
  const lines = follow(layout.apiSocket, `${API_ROUTES.events.path}?instrument=ids&follow=true`);
  ids.tell({ emit: "ids.dns", data: { rrname: "www.example.org" } });
  const first = EventRecord.parse(JSON.parse(await lines.next()));
  assert.equal(first.instrument, "ids");
  assert.deepEqual(first.data, { rrname: "www.example.org" });
  lines.close();
  const stored = await askApi(layout.apiSocket, `${API_ROUTES.events.path}?type=ids.dns&limit=5`);
  assert.equal(stored.type, "application/x-ndjson; charset=utf-8");
  assert.equal(EventRecord.parse(JSON.parse(stored.text.trim())).id, first.id);

  // Logs.
  ids.tell({ log: "a line for the operator" });
  await eventually("the log line", async () => {
    const answer = await askApi(layout.apiSocket, "/api/v1/instruments/ids/logs?limit=50");
    const found = answer.text
      .split("\n")
      .filter((l) => l !== "")
      .map((l) => LogLine.parse(JSON.parse(l)));
    return found.some((l) => l.message === "a line for the operator" && l.level === "warn") || null;
  });

  // UI: through the instrument's own socket, recorded, and only where the site grants it.
  const ui = await eventually("the UI", async () => {
    const answer = await askApi(layout.apiSocket, "/api/v1/instruments/pdns/ui/v1/lookup?q=secret.example");
    return answer.status === 200 ? answer : null;
  });
  assert.deepEqual(ui.json, { path: "/v1/lookup?q=secret.example", user: "local:root", role: "admin" });
  const denied = await askApi(layout.apiSocket, "/api/v1/instruments/ids/ui/");
  assert.deepEqual([denied.status, denied.json["code"]], [404, "ui-not-granted"]);
  const record = await eventually(
    "the record",
    () => warden.audits.find((a) => a.kind === "ui-request" && a.detail["end"] === "whole") ?? null,
  );
  assert.equal(record.subject, "local:root");
  assert.equal(record.detail["path"], "/v1/lookup");
  assert.ok(!JSON.stringify(warden.audits).includes("secret.example"), "what was looked for is not recorded");

  // Orders go to warden, with who gave them.
  assert.equal(
    (await askApi(layout.apiSocket, "/api/v1/instruments/ids/restart", { method: "POST", body: {} })).status,
    200,
  );
  assert.deepEqual(warden.orders, ["restart ids"]);
  await eventually("the order's record", () => warden.audits.find((a) => a.kind === "api-call") ?? null);
  const unknown = await askApi(layout.apiSocket, "/api/v1/instruments/nobody/restart", { method: "POST" });
  assert.deepEqual([unknown.status, unknown.json["code"]], [404, "unknown-instrument"]);

  const explained = await askApi(layout.apiSocket, "/api/v1/instruments/pdns/explain");
  assert.match(explained.text, /ids\.dns events of ids/);
});

test("sensord: what an instrument is refused and a caller repeats is counted in the audit, none twice and none lost", async () => {
  await using stand = await makeSensorStand();
  const { layout, warden } = stand;
  await stand.accept("v1", SITE);
  await using pdns = await startAgent(stand, "pdns");
  await instrumentIs(stand, "pdns", "running");
  assert.ok(pdns.given.length > 0);
  const countsOf = (kind: string): readonly number[] =>
    warden.audits.filter((a) => a.kind === kind).map((a) => Number(a.detail["count"]));

  for (let n = 0; n < 5; n += 1) await speakNonsense(join(layout.socketsDir, "pdns", "bus.sock"));
  const lookUp = () => askApi(layout.apiSocket, "/api/v1/instruments/pdns/ui/v1/lookup?q=secret.example");
  await eventually("the UI", async () => ((await lookUp()).status === 200 ? true : null));
  for (let n = 0; n < 4; n += 1) assert.equal((await lookUp()).status, 200);
  await eventually("the first of each", () =>
    ["bus.refused", "ui-request"].every((kind) => countsOf(kind).length > 0) ? true : null,
  );
  await stand.stopSensord();
  assert.deepEqual(countsOf("bus.refused"), [1, 4]);
  const [first, repeats] = warden.audits.filter((a) => a.kind === "bus.refused");
  assert.deepEqual([first?.subject, first?.detail], ["pdns", { reason: "protocol", count: 1 }]);
  assert.ok(String(repeats?.detail["first"]) < String(repeats?.detail["last"]));
  const whole = warden.audits.filter((a) => a.kind === "ui-request" && a.detail["status"] === 200);
  assert.deepEqual(
    whole.map(({ detail }) => detail["count"]),
    [1, 4],
  );
});

test("sensord: apply waits for the answers, and a refusal is shown and recorded", async () => {
  await using stand = await makeSensorStand();
  const { layout, warden } = stand;
  await stand.accept("v1", SITE);
  await using ids = await startAgent(stand, "ids");
  await instrumentIs(stand, "ids", "running");
  const next = SITE.replace("level: 1", "level: 5");
  const applying = { method: "POST", body: {} };
  warden.onApply = () => {
    void stand.accept("v2", next);
    return { outcome: "applied", version: "v2", plan: EMPTY_PLAN };
  };
  const refused = await askApi(layout.apiSocket, API_ROUTES.apply.path, applying);
  assert.equal(refused.status, 200, refused.text);
  assert.deepEqual(refused.json, {
    version: "v2",
    steps: 0,
    configs: [
      {
        instrument: "ids",
        outcome: "refused",
        faults: [{ file: "local.rules", line: 7, message: "bad rule" }],
      },
    ],
  });
  const shown = await instrumentIs(stand, "ids", "degraded");
  assert.match(shown.detail, /local\.rules:7: bad rule/);
  const audited = await eventually(
    "the refusal's record",
    () => warden.audits.find((a) => a.kind === "config-refused") ?? null,
  );
  assert.deepEqual([audited.subject, audited.detail["fault"]], ["ids", "bad rule"]);

  warden.onApply = () => {
    void stand.accept("v3", SITE.replace("level: 1", "level: 2"));
    return { outcome: "applied", version: "v3", plan: EMPTY_PLAN };
  };
  const applied = await askApi(layout.apiSocket, API_ROUTES.apply.path, applying);
  assert.deepEqual(applied.json["configs"], [{ instrument: "ids", outcome: "applied", faults: [] }]);
  await instrumentIs(stand, "ids", "running");

  const fault = {
    path: "/x",
    file: "site.yaml",
    line: 3,
    column: 1,
    code: "missing",
    message: "m",
    accepted: "a",
  } as const;
  warden.onApply = () => ({ outcome: "faults", faults: [fault] });
  const faulty = await askApi(layout.apiSocket, API_ROUTES.apply.path, applying);
  assert.deepEqual(
    [faulty.status, faulty.json["code"], faulty.json["faults"]],
    [422, "site-faults", [fault]],
  );
  assert.match(faulty.type, /application\/problem\+json/);
  warden.onApply = () => ({ outcome: "failed", step: null, code: "datapath-span-absent", message: "eth1" });
  const failed = await askApi(layout.apiSocket, API_ROUTES.apply.path, applying);
  assert.deepEqual([failed.status, failed.json["code"]], [409, "datapath-span-absent"]);
  assert.equal((await statusOf(stand)).siteVersion, "v3");
  assert.deepEqual(
    ids.given.map(({ config }) => config["level"]),
    [1, 5, 2],
  );
});

test("sensord: a configuration waits for its instrument and is told again to one that came back", async () => {
  await using stand = await makeSensorStand();
  await stand.accept("v1", SITE);
  const waiting = await eventually("it is pending", async () => {
    const found = (await statusOf(stand)).instruments.find((i) => i.name === "ids");
    return found?.config.outcome === "pending" ? found : null;
  });
  assert.equal(waiting.state, "starting");
  {
    await using first = await startAgent(stand, "ids");
    await eventually("it is told", () => (first.given.length > 0 ? true : null));
    await instrumentIs(stand, "ids", "running");
  }
  await using second = await startAgent(stand, "ids");
  await eventually("its successor is told", () => (second.given.length > 0 ? true : null));
});

test("sensord: warden and the broker may die, and nothing of it ends", async () => {
  await using stand = await makeSensorStand();
  const { warden, layout, broker } = stand;
  await stand.accept("v1", SITE);
  await using ids = await startAgent(stand, "ids");
  await instrumentIs(stand, "ids", "running");

  await warden.kill();
  const without = await eventually("warden is missed", async () => {
    const now = await statusOf(stand);
    return now.processes.some((p) => p.name === "warden" && p.state === "down") ? now : null;
  });
  assert.equal(without.ok, false);
  assert.equal(without.instruments.find((i) => i.name === "ids")?.state, "running");
  const order = await askApi(layout.apiSocket, "/api/v1/instruments/ids/stop", { method: "POST" });
  assert.deepEqual([order.status, order.json["code"]], [503, "warden-unreachable"]);
  await warden.start();
  await eventually(
    "warden is heard again",
    async () => (await statusOf(stand)).processes.every((p) => p.state === "up") || null,
  );
  warden.sendRaw("{}\n");
  await eventually("a state that is none is not taken, and the stream begins anew", async () => {
    const now = await statusOf(stand);
    return (now.siteVersion === "v1" && now.processes.every((p) => p.state === "up")) || null;
  });

  await broker.crash();
  ids.tell({ emit: "ids.dns", data: { after: "crash" } });
  await eventually("events pass again", async () => {
    // While the broker is away an answer is a problem or breaks off; it never looks whole.
    const answer = await askApi(layout.apiSocket, `${API_ROUTES.events.path}?type=ids.dns`).catch(() => null);
    return answer?.text.includes("crash") === true ? true : null;
  });
});

test("sensord: the loss ledger is joined, emitted, and goes on after a restart", async () => {
  await using stand = await makeSensorStand({
    ledgerPace: { sampleEveryMs: 300, emitEveryMs: 500 },
  });
  const { warden, layout } = stand;
  await stand.accept("v1", SITE);
  await using ids = await startAgent(stand, "ids");
  warden.taps = [counters("e1", { seen: 1000, matched: 800, notMirrored: 10, received: 780 })];
  let packets = { epoch: "t1", received: 780, dropped: 30 };
  const expected = {
    seen: 1000,
    filtered: 200,
    mirrored: 790,
    notMirrored: 10,
    wireDropped: 10,
    received: 780,
    processed: 750,
    toolDropped: 30,
    guardDropped: 0,
  };
  const ledgerIs = (wanted: Record<string, number>) =>
    eventually(
      `the ledger is ${JSON.stringify(wanted)}`,
      async () => {
        ids.tell({ packets });
        const answer = await askApi(layout.apiSocket, API_ROUTES.taps.path);
        const [tap] = SensorStatus.shape.taps.parse(JSON.parse(answer.text));
        const figures: Readonly<Record<string, unknown>> = { ...tap };
        const same = Object.entries(wanted).every(([key, value]) => figures[key] === value);
        return same && tap !== undefined ? tap : null;
      },
      60_000,
    );
  const tap = await ledgerIs(expected);
  assert.deepEqual(
    [tap.sensor, tap.engine, tap.filter, tap.wire],
    ["test-hq", "capture", "not port 22", "connected"],
  );
  const emitted = await eventually("the ledger's event", async () => {
    const answer = await askApi(layout.apiSocket, `${API_ROUTES.events.path}?type=capture.ledger&limit=1`);
    return answer.text === "" ? null : EventRecord.parse(JSON.parse(answer.text.trim()));
  });
  assert.equal(emitted.instrument, "platform");

  await stand.stopSensord();
  // Meanwhile traffic went on, and the tap was not made anew.
  warden.taps = [counters("e1", { seen: 1500, matched: 1300, notMirrored: 10, received: 1280 })];
  await stand.startSensord();
  const kept = await askApi(layout.apiSocket, API_ROUTES.taps.path);
  for (const { seen } of SensorStatus.shape.taps.parse(JSON.parse(kept.text))) {
    assert.ok(seen === 0 || seen >= 1000, "nothing goes back");
  }
  packets = { epoch: "t1", received: 1280, dropped: 30 };
  await ledgerIs({ ...expected, seen: 1500, mirrored: 1290, received: 1280, processed: 1250 });
  // The tap is made anew and counts from zero.
  warden.taps = [counters("e2", { seen: 50, matched: 50, notMirrored: 0, received: 50 })];
  packets = { epoch: "t2", received: 40, dropped: 0 };
  await ledgerIs({ seen: 1550, mirrored: 1340, received: 1330, processed: 1290, toolDropped: 40 });
});

test("sensord: plan answers faults, with the filter compiler's own word, and steps where there are none", async () => {
  await using stand = await makeSensorStand();
  const { layout } = stand;
  const plan = (text: string) =>
    askApi(layout.apiSocket, API_ROUTES.plan.path, {
      method: "POST",
      body: { file: "my.yaml", text, files: [] },
    });
  const good = await plan(SITE);
  assert.equal(good.status, 200, good.text);
  assert.deepEqual(good.json["faults"], []);
  assert.ok(Plan.parse(good.json).steps.length > 0);
  const bad = await plan(
    SITE.replace("not port 22", "not prot 22").replace("package: pdns", "package: nope"),
  );
  const { faults } = Plan.parse(bad.json);
  const codes = faults.map((fault) => fault.code);
  assert.ok(codes.includes("filter-rejected") && codes.includes("unknown-package"), bad.text);
  assert.equal(faults[0]?.file, "my.yaml");
  const strict = await askApi(layout.apiSocket, API_ROUTES.plan.path, {
    method: "POST",
    body: { file: "x", text: "", files: [], extra: 1 },
  });
  assert.deepEqual([strict.status, strict.json["code"]], [400, "request-invalid"]);
});

const EMPTY_PLAN = {
  faults: [],
  asked: [],
  granted: [],
  pending: [],
  missing: [],
  unused: [],
  flows: [],
  steps: [],
  files: [],
};

function counters(
  epoch: string,
  figures: Pick<TapCounters, "seen" | "matched" | "notMirrored" | "received">,
): TapCounters {
  return { instrument: "ids", engine: "capture", epoch, guardDropped: 0, ...figures };
}

/** Reads NDJSON lines one by one. */
function follow(socketPath: string, path: string): { next(): Promise<string>; close(): void } {
  const waiting: ((line: string) => void)[] = [];
  const lines: string[] = [];
  let rest = "";
  const outgoing = request({ socketPath, path, agent: false });
  outgoing.on("error", () => {});
  outgoing.on("response", (response) => {
    response.on("error", () => {});
    response.on("data", (chunk: Buffer) => {
      const parts = (rest + chunk.toString("utf8")).split("\n");
      rest = parts.pop() ?? "";
      for (const line of parts) {
        const wake = waiting.shift();
        if (wake === undefined) lines.push(line);
        else wake(line);
      }
    });
  });
  outgoing.end();
  return {
    next: () => {
      const line = lines.shift();
      return line === undefined ? new Promise((resolve) => waiting.push(resolve)) : Promise.resolve(line);
    },
    close: () => outgoing.destroy(),
  };
}

/** Resolves when the gate has hung up on it. */
async function speakNonsense(path: string): Promise<void> {
  const socket = connect(path);
  socket.on("error", () => undefined); // that it is hung up on is what counts
  const closed = once(socket, "close");
  socket.resume();
  socket.write("this is no NATS\r\n");
  await closed;
}
