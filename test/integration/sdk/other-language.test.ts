/** The example in Python, against the real broker and gate: any language that speaks NATS makes an instrument. */
import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";
import { type EventRecord, Manifest } from "@bulkhead/schema";
import { eventually } from "@bulkhead/testkit";
import { parse } from "yaml";
import { BusFixture, DESIRED } from "../bus/bus-fixture.ts";

const EXAMPLE = join(import.meta.dirname, "../../../docs/examples/python-instrument");
const PROGRAM = join(EXAMPLE, "instrument.py");
const TIMEOUT_MS = 10_000;

function command(version: string, intervalMs: number) {
  return { version, config: { intervalMs }, retentionMs: null, files: null };
}

test("an instrument in Python greets, is configured, reports, and its events are stored once, over a crash", async () => {
  const manifest = Manifest.parse(parse(await readFile(join(EXAMPLE, "instrument.yaml"), "utf8")));
  const { name, needs } = manifest;
  assert.deepEqual(manifest.image.files, ["instrument.py"]);
  await using fixture = await BusFixture.open({ desired: { ...DESIRED, instruments: [{ name, needs }] } });
  const child = spawn("python3", [PROGRAM], {
    env: { ...process.env, BULKHEAD_INSTRUMENT: name, BULKHEAD_BUS_SOCKET: fixture.socketPath(name) },
    stdio: ["ignore", "pipe", "pipe"],
  });
  await using stack = new AsyncDisposableStack();
  stack.defer(() => void child.kill("SIGKILL"));
  let printed = "";
  for (const stream of [child.stdout, child.stderr])
    stream.on("data", (bytes: Buffer) => (printed += bytes.toString()));
  const send = (version: string, intervalMs: number) =>
    fixture.bus.sendConfig(name, command(version, intervalMs), { timeoutMs: TIMEOUT_MS });

  await eventually("its greeting", () => fixture.hellos.includes(name));
  await eventually("its first report", () =>
    fixture.health.some(({ report }) => report.state === "starting"),
  );
  assert.deepEqual(await send("one", 100), { outcome: "applied", version: "one" });
  const refused = await send("two", 5);
  assert.equal(refused.outcome, "refused");
  const stored = () => fixture.health.at(-1)?.report.events.acknowledged ?? 0;
  await eventually("events acknowledged", () => stored() >= 3, TIMEOUT_MS);
  assert.equal(fixture.health.at(-1)?.report.configVersion, "one", "the refused one changed nothing");

  const before = stored();
  await fixture.broker.crash();
  await eventually("events acknowledged after the crash", () => stored() > before + 5, 30_000);
  const counts = (await eventsOf(fixture)).map(({ instrument, type, data }) => {
    assert.deepEqual([instrument, type], [name, "python.greeting"]);
    return (data as { readonly count: number }).count; // what the program emits
  });
  assert.ok(counts.length >= 5, `${counts.length} events`);
  assert.equal(new Set(counts).size, counts.length, "each is stored once");
  assert.deepEqual(fixture.bus.counts(name).refusals, []);

  child.kill("SIGTERM");
  await once(child, "exit");
  assert.equal(printed, "", "nothing but the bus hears it");
});

test("it is small, and needs nothing beside Python", async () => {
  const text = await readFile(PROGRAM, "utf8");
  assert.ok(text.split("\n").filter((line) => line.trim() !== "").length < 80);
  const modules = [...text.matchAll(/^(?:import|from) (.+)$/gm)].flatMap(([, names = ""]) =>
    names.split(", "),
  );
  assert.deepEqual(modules, ["contextlib", "json", "os", "select", "socket", "time", "uuid"]);
  await promisify(execFile)("python3", [
    "-W",
    "error",
    "-c",
    `compile(open(${JSON.stringify(PROGRAM)}).read(), "x", "exec")`,
  ]);
});

async function eventsOf(fixture: BusFixture): Promise<readonly EventRecord[]> {
  const found: EventRecord[] = [];
  const query = { instrument: "python-instrument", limit: 1000, follow: false };
  for await (const event of fixture.bus.events(query, AbortSignal.timeout(TIMEOUT_MS))) found.push(event);
  return found;
}
