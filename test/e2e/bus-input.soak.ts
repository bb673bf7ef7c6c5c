/** What a hostile instrument sends over its socket: refused or set aside, and counted against it alone. */
import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import type { InstrumentStatus } from "@bulkhead/schema";
import { eventually } from "@bulkhead/testkit";
import { type Cli, eventuallyWell, openCli } from "./cli.ts";
import { initPids, runInside } from "./containers.ts";

const NAME = "e2e-input";
const SITE = `apiVersion: bulkhead/v1
sensor: ${NAME}
instruments:
  bad: { package: hello, config: { intervalMs: 1000 } }
  good: { package: hello, config: { intervalMs: 1000 } }
`;
/** An event's subject and headers as the platform wants them; `id` makes each its own. */
const OWN = "ev.bad.hello.greeting";
const headers = (id: string): string =>
  `NATS/1.0\\r\\nce-specversion: 1.0\\r\\nce-id: ${id}\\r\\nce-source: x\\r\\nce-type: hello.greeting\\r\\nce-time: 2026-01-01T00:00:00Z\\r\\nNats-Msg-Id: ${id}\\r\\n\\r\\n`;

const stack = new AsyncDisposableStack();
let cli: Cli;

before(async () => {
  cli = stack.use(await openCli(NAME));
  const dir = await mkdtemp(join(tmpdir(), "bulkhead-e2e-input-"));
  stack.defer(() => rm(dir, { recursive: true, force: true }));
  await cli.run(["setup"]);
  await cli.run(["up"]);
  await writeFile(join(dir, "site.yaml"), SITE);
  await cli.run(["apply", join(dir, "site.yaml")]);
  await eventuallyWell(cli);
});
after(() => stack.disposeAsync());

/**
 * Speaks NATS on the socket of the instrument `bad`, from inside its container: `send` is a script
 * with `put(text or Buffer)`. Returns what the gate answered; `closed` at its end if it hung up.
 */
async function speak(send: string): Promise<string> {
  const script = `
    const socket = require("node:net").connect("/run/bulkhead/bus.sock");
    const put = (what) => socket.write(what);
    let heard = "", begun = false;
    const end = (how) => { process.stdout.write(heard + how); process.exit(0); };
    socket.on("error", (error) => { heard += error.code + " "; });
    socket.on("close", () => end("closed"));
    socket.on("data", (data) => {
      heard += data.toString("latin1");
      if (begun || !heard.includes("INFO")) return;
      begun = true;
      socket.cork(); // one write: a second one after a hang-up would hide the answer
      put('CONNECT {"verbose":false,"headers":true}\\r\\n');
      ${send}
      put("PING\\r\\n");
      socket.uncork();
      setTimeout(() => end("open"), 2500);
    });`;
  const { exitCode, stdout, stderr } = await runInside(cli, "bad", script);
  assert.equal(exitCode, 0, stderr);
  // The broker's own PING comes at a time of its choice.
  return stdout.slice(stdout.indexOf("\r\n") + 2).replace("PING\r\n", "");
}

async function instrument(name: string): Promise<InstrumentStatus> {
  const found = (await cli.status()).instruments.find((each) => each.name === name);
  assert.ok(found !== undefined);
  return found;
}

/** Runs `act`; `bad` must then have so many refusals more, and `good` none. */
async function refuses(more: number, act: () => Promise<void>): Promise<void> {
  const before = (await instrument("bad")).events.refused;
  await act();
  await eventually(
    `${more} refused`,
    async () => (await instrument("bad")).events.refused >= before + more,
    20_000,
  );
  assert.equal((await instrument("bad")).events.refused, before + more);
  assert.equal((await instrument("good")).events.refused, 0);
}

test("subjects of others, of the platform, and types that it did not declare", () =>
  refuses(5, async () => {
    const heard = await speak(`
      put("PUB ev.good.hello.greeting 2\\r\\n{}\\r\\n");
      put("PUB ev.bad.suricata.alert 2\\r\\n{}\\r\\n");
      put("PUB cmd.good.stop 2\\r\\n{}\\r\\n");
      put("PUB $JS.API.STREAM.DELETE.EV_good 0\\r\\n\\r\\n");
      put("SUB ev.> 1\\r\\n");`);
    assert.equal(heard.match(/-ERR 'Permissions Violation for Publish to /g)?.length, 4, heard);
    assert.match(heard, /-ERR 'Permissions Violation for Subscription to "ev\.>"'/);
    assert.match(heard, /PONG\r\nopen$/, "the connection goes on");
  }));

test("a record larger than the bus takes", () =>
  refuses(1, async () => {
    const heard = await speak(`
      put("PUB ${OWN} 1048577\\r\\n");`);
    assert.match(heard, /-ERR 'Maximum Payload Violation'\r\n.*closed$/s);
  }));

test("what is not the protocol at all", () =>
  refuses(1, async () => {
    const heard = await speak(`put(Buffer.from([0, 255, 13, 10, 0, 1, 2, 3, 13, 10]));`);
    assert.match(heard, /-ERR '.*'\r\n.*closed$/s);
  }));

test("what only a reader can tell is set aside, counted, and hides nothing else", async () => {
  const before = (await instrument("bad")).events.quarantined;
  const heard = await speak(`
    const record = (id, text) => {
      const head = "${headers("ID")}".replaceAll("ID", id);
      put("HPUB ${OWN} " + head.length + " " + (head.length + text.length) + "\\r\\n" + head + text + "\\r\\n");
    };
    record("not-json-1", "this is no JSON");
    record("sound-1", '{"greeting":"sound"}');
    record("not-json-2", '{"cut":');
    put("PUB ${OWN} 2\\r\\n{}\\r\\n");`);
  assert.match(heard, /^PONG\r\nopen$/, "the gate cannot tell");
  const events = await cli.events("1h", "--instrument", "bad");
  assert.ok(events.some(({ id }) => id === "sound-1"));
  assert.ok(!events.some(({ id }) => id.startsWith("not-json")));
  await cli.events("1h", "--instrument", "bad");
  assert.equal(
    (await instrument("bad")).events.quarantined,
    before + 3,
    "each once, however often it is read",
  );
  assert.equal((await instrument("good")).events.quarantined, 0);
  assert.match((await cli.run(["status"])).stdout, /^good .* running +[\d,]+ +0 /m);
});

test("a flood of what is refused is cut off; the other's events come as before, nothing was restarted", async () => {
  const pids = await initPids(cli);
  const before = (await instrument("bad")).events.refused;
  const heard = await speak(`put("PUB ev.good.hello.greeting 2\\r\\n{}\\r\\n".repeat(50000));`);
  assert.match(heard, /closed$/, "it is not listened to for ever");
  await eventually(
    "it is counted",
    async () => (await instrument("bad")).events.refused > before + 1000,
    20_000,
  );
  const last = (await cli.events("1h", "--instrument", "good")).at(-1)?.sequence ?? 0;
  const fresh = await eventually("the other greets", async () => {
    const found = (await cli.events("1h", "--instrument", "good")).filter(({ sequence }) => sequence > last);
    return found.length >= 2 && found;
  });
  assert.deepEqual(
    fresh.map(({ sequence }) => sequence),
    fresh.map((_, index) => last + 1 + index),
    "none is missing",
  );
  const good = await instrument("good");
  assert.equal(good.state, "running");
  assert.deepEqual([good.events.refused, good.events.quarantined, good.restarts], [0, 0, 0]);
  assert.deepEqual(await initPids(cli), pids);
  assert.equal((await instrument("bad")).state, "running", "its own agent is still heard");
});
