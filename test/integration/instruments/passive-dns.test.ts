/** Passive DNS as a process: fed by events, asked over reverse HTTP/2, killed, and exact all the same. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdir, rm, writeFile } from "node:fs/promises";
import { connect, type ClientHttp2Session } from "node:http2";
import { createServer } from "node:net";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { ResourceAnswer, RetentionAnswer } from "@bulkhead/schema";
import { eventually } from "@bulkhead/testkit";
import { AckPolicy } from "@nats-io/jetstream";
import { headers } from "@nats-io/transport-node";
import { bundleAgent, runAgent, type AgentProcess } from "../sdk/agent-process.ts";
import { openTestBus, type TestBus, type TestInstrument } from "../sdk/test-bus.ts";

const DURABLE = "pdns_suricata=dns";
const SIGHTING = "passive-dns.sighting";

class PassiveDnsPlace implements AsyncDisposable {
  readonly bus: TestBus;
  readonly instrument: TestInstrument;
  readonly #stack: AsyncDisposableStack;
  readonly #agentFile: string;
  readonly #uiSocket: string;
  #session = Promise.withResolvers<ClientHttp2Session>();
  #emitted = 0;

  private constructor(
    bus: TestBus,
    instrument: TestInstrument,
    agentFile: string,
    stack: AsyncDisposableStack,
  ) {
    this.bus = bus;
    this.instrument = instrument;
    this.#agentFile = agentFile;
    this.#stack = stack;
    this.#uiSocket = join(bus.dir, "ui.sock");
  }

  static async open(): Promise<PassiveDnsPlace> {
    await using stack = new AsyncDisposableStack();
    const bus = stack.use(await openTestBus());
    await bus.admit({ instrument: "ids", emits: [] });
    await bus.streams.consumers.add("EV_ids", {
      durable_name: DURABLE,
      filter_subject: "ev.ids.suricata.dns",
      ack_policy: AckPolicy.Explicit,
      ack_wait: 2e9,
    });
    const grant = { stream: "EV_ids", consumer: DURABLE, from: "ids", type: "suricata.dns" };
    const instrument = await bus.admit({ instrument: "pdns", consumers: [grant], emits: [SIGHTING] });
    await mkdir(join(bus.dir, "data/db"), { recursive: true });
    const agentFile = await bundleAgent("passive-dns", bus.dir);
    const place = new PassiveDnsPlace(bus, instrument, agentFile, stack.move());
    await place.#openDoor();
    return place;
  }

  async start(): Promise<AgentProcess> {
    const { greetings } = this.instrument;
    const before = greetings.count;
    this.#session = Promise.withResolvers();
    const agent = runAgent([process.execPath, this.#agentFile], {
      BULKHEAD_INSTRUMENT: "pdns",
      BULKHEAD_BUS_SOCKET: this.instrument.socketPath,
      BULKHEAD_UI_SOCKET: this.#uiSocket,
      BULKHEAD_DATA_DIR: join(this.bus.dir, "data"),
      BULKHEAD_RESOURCES_DIR: join(this.bus.dir, "resources"),
    });
    this.#stack.use(agent);
    await eventually("hello", () => greetings.count > before);
    await this.configure("v1", null);
    return agent;
  }

  async configure(version: string, retentionMs: number | null): Promise<void> {
    const answer = await this.instrument.configure({ version, config: {}, retentionMs, files: null });
    assert.equal(answer.outcome, "applied");
  }

  /** As the platform says on its schedule. */
  async forget(before: Date): Promise<RetentionAnswer> {
    const command = JSON.stringify({ before: before.toISOString(), reason: "schedule" });
    const reply = await this.bus.platform.request("cmd.pdns.retention", command, { timeout: 60_000 });
    return RetentionAnswer.parse(reply.json());
  }

  /** One EVE record as Suricata 7 writes it. */
  emit(id: string, name: string, address: string, time: Date): void {
    const timestamp = time.toISOString().replace("Z", "000+0000");
    const dns = {
      version: 2,
      type: "answer",
      rcode: "NOERROR",
      rrname: name,
      rrtype: "A",
      answers: [{ rrname: name, rrtype: "A", ttl: 300, rdata: address }],
    };
    const attributes = headers();
    attributes.set("ce-id", id);
    attributes.set("ce-time", time.toISOString());
    const record = JSON.stringify({ timestamp, event_type: "dns", dns });
    this.bus.platform.publish("ev.ids.suricata.dns", record, { headers: attributes });
    this.#emitted += 1;
  }

  /** A watch list as the platform places it and tells of it. */
  async watch(version: string, text: string): Promise<ResourceAnswer> {
    const path = `downloader/watch-list/bad/${version}`;
    await mkdir(join(this.bus.dir, "resources", dirname(path)), { recursive: true });
    await writeFile(join(this.bus.dir, "resources", path), text);
    const notice = {
      from: "downloader",
      type: "watch-list",
      name: "bad",
      version,
      sha256: "0".repeat(64),
      sizeBytes: text.length,
      mediaType: "text/plain",
      path,
      deliveredAt: new Date().toISOString(),
    };
    const reply = await this.bus.platform.request("cmd.pdns.resource", JSON.stringify(notice), {
      timeout: 60_000,
    });
    return ResourceAnswer.parse(reply.json());
  }

  /** What was emitted so far. */
  async sightings(): Promise<readonly unknown[]> {
    const { state } = await this.bus.streams.streams.info("EV_pdns");
    const found: unknown[] = [];
    for (let seq = 1; seq <= state.last_seq; seq += 1) {
      const message = await this.bus.streams.streams.getMessage("EV_pdns", { seq });
      assert.equal(message?.subject, `ev.pdns.${SIGHTING}`);
      found.push(message?.json());
    }
    return found;
  }

  async get(
    path: string,
  ): Promise<{ readonly status: number; readonly type: string; readonly text: string }> {
    const session = await this.#session.promise;
    const stream = session.request({ ":path": path }).setEncoding("utf8");
    const [head] = (await once(stream, "response")) as [Readonly<Record<string, unknown>>];
    let text = "";
    for await (const chunk of stream) text += String(chunk);
    assert.equal(stream.rstCode, 0);
    return { status: Number(head[":status"]), type: String(head["content-type"]), text };
  }

  async lookup(term: string): Promise<readonly Readonly<Record<string, unknown>>[]> {
    const { text } = await this.get(`/v1/lookup?q=${encodeURIComponent(term)}`);
    return text
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => JSON.parse(line) as Record<string, unknown>);
  }

  async settled(): Promise<void> {
    await eventually("everything stored and acknowledged", async () => {
      const { state } = await this.bus.streams.streams.info("EV_ids");
      if (state.messages < this.#emitted) return false;
      const info = await this.bus.streams.consumers.info("EV_ids", DURABLE);
      return info.num_pending === 0 && info.num_ack_pending === 0;
    });
  }

  async #openDoor(): Promise<void> {
    const server = createServer((socket) => {
      const session = connect("http://pdns", { createConnection: () => socket });
      session.on("error", () => undefined);
      this.#session.resolve(session);
      this.#stack.defer(() => session.destroy());
    });
    server.listen(this.#uiSocket);
    await once(server, "listening");
    this.#stack.defer(() => void server.close());
    this.#stack.defer(() => rm(this.#uiSocket, { force: true }));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#stack.disposeAsync();
  }
}

test("what was answered can be looked up by name and by address", async () => {
  await using place = await PassiveDnsPlace.open();
  await place.start();
  const first = new Date("2026-01-02T03:04:05Z");
  const later = new Date("2026-01-03T03:04:05Z");
  place.emit("1", "WWW.Example.com", "192.0.2.1", later);
  place.emit("2", "www.example.com", "192.0.2.1", first);
  place.emit("3", "mail.example.com", "192.0.2.1", first);
  await place.settled();
  const www = {
    rrname: "www.example.com",
    rrtype: "A",
    rdata: "192.0.2.1",
    time_first: first.getTime() / 1000,
    time_last: later.getTime() / 1000,
    count: 2,
  };
  assert.deepEqual(await place.lookup("www.EXAMPLE.com."), [www]);
  const byAddress = await place.lookup("192.0.2.1");
  assert.deepEqual(
    byAddress.map((r) => r["rrname"]),
    ["www.example.com", "mail.example.com"],
  );
  assert.deepEqual(await place.lookup("nothing.example"), []);
  const stats = await place.get("/v1/stats");
  assert.deepEqual(JSON.parse(stats.text), {
    records: 2,
    names: 2,
    oldest: first.getTime() / 1000,
    newest: later.getTime() / 1000,
    observations: 3,
  });
  assert.match((await place.get("/v1/lookup?q=a")).type, /^application\/x-ndjson/);
  for (const bad of ["/v1/lookup", "/v1/lookup?q=a&limit=0", "/v1/lookup?q=a&limit=x"]) {
    assert.equal((await place.get(bad)).status, 400, bad);
  }
  assert.equal((await place.get("/v2")).status, 404);
});

test("killed again and again, and delivered again, each event is counted exactly once", async () => {
  await using place = await PassiveDnsPlace.open();
  let agent = await place.start();
  const names = 20;
  const total = 20_000;
  for (let n = 0; n < total; n += 1) {
    place.emit(`id-${n}`, `n${n % names}.example`, "192.0.2.1", new Date(1_767_000_000_000 + n * 1000));
    if (n % 1_000 === 0) await place.bus.platform.flush();
    if (n === 8_000 || n === 16_000) {
      assert.equal(await agent.kill("SIGKILL"), "SIGKILL");
      agent = await place.start();
    }
  }
  await place.bus.platform.flush();
  await place.settled();
  // The emitter was not sure that these arrived and sent them again.
  for (let n = 0; n < 100; n += 1) place.emit(`id-${n}`, `n${n % names}.example`, "192.0.2.1", new Date());
  await place.bus.platform.flush();
  await place.settled();
  const records = await place.lookup("192.0.2.1");
  assert.equal(records.length, names);
  assert.deepEqual(new Set(records.map((r) => r["count"])), new Set([total / names]));
  assert.equal(await agent.kill("SIGTERM"), 0);
});

test("what was last seen before its period is forgotten, and the oldest that is left is reported", async () => {
  await using place = await PassiveDnsPlace.open();
  const day = 86_400_000;
  await place.start();
  place.emit("1", "old.example", "192.0.2.1", new Date(Date.now() - 40 * day));
  place.emit("2", "new.example", "192.0.2.1", new Date(Date.now() - 20 * day));
  place.emit("3", "often.example", "192.0.2.1", new Date(Date.now() - 60 * day));
  place.emit("4", "often.example", "192.0.2.1", new Date(Date.now() - day));
  await place.settled();
  assert.equal((await place.lookup("192.0.2.1")).length, 3);
  const answer = await place.forget(new Date(Date.now() - 30 * day));
  assert.equal(answer.removed, 1);
  assert.ok(Math.abs(Date.parse(answer.oldest ?? "") - (Date.now() - 20 * day)) < 60_000);
  assert.deepEqual(await place.lookup("old.example"), []);
  const left = await place.lookup("192.0.2.1");
  assert.deepEqual(
    left.map((r) => r["rrname"]),
    ["often.example", "new.example"],
  );
  await eventually("the report", () => {
    const oldest = place.instrument.health.at(-1)?.oldestRecord;
    return typeof oldest === "string" && Math.abs(Date.parse(oldest) - (Date.now() - 20 * day)) < 60_000;
  });
});

test("what falls under a watch list is told once, and a refused list leaves the former", async () => {
  await using place = await PassiveDnsPlace.open();
  await place.start();
  const time = new Date("2026-01-02T03:04:05Z");
  place.emit("1", "early.evil.example", "192.0.2.1", time);
  await place.settled();
  assert.deepEqual(await place.watch("1-aaaaaaaaaaaa", "evil.example\n198.51.100.0/24\n"), {
    outcome: "taken",
  });
  place.emit("2", "www.evil.example", "192.0.2.1", time);
  place.emit("3", "www.evil.example", "192.0.2.1", new Date());
  place.emit("4", "good.example", "198.51.100.7", time);
  place.emit("5", "better.example", "203.0.113.7", time);
  await place.settled();
  const record = { rrname: "www.evil.example", rrtype: "A", rdata: "192.0.2.1" };
  const expected = [
    {
      name: "www.evil.example",
      entry: "evil.example",
      list: "downloader/bad",
      record,
      time: time.toISOString(),
    },
    {
      address: "198.51.100.7",
      entry: "198.51.100.0/24",
      list: "downloader/bad",
      record: { rrname: "good.example", rrtype: "A", rdata: "198.51.100.7" },
      time: time.toISOString(),
    },
  ];
  await eventually("both sightings", async () => (await place.sightings()).length === 2);
  assert.deepEqual(await place.sightings(), expected);
  const refused = await place.watch("2-bbbbbbbbbbbb", "<html>\n");
  assert.ok(refused.outcome === "failed");
  assert.match(refused.message, /neither domain nor address/);
  place.emit("6", "other.evil.example", "192.0.2.9", time);
  await eventually("the former list counts", async () => (await place.sightings()).length === 3);
  assert.deepEqual(JSON.parse((await place.get("/v1/watch")).text), {
    lists: [{ name: "downloader/bad", entries: 2 }],
    refused: [
      {
        name: "downloader/bad",
        reason: "2-bbbbbbbbbbbb: 1 of its lines are neither domain nor address, line 1 first",
      },
    ],
  });
  assert.deepEqual(await place.watch("3-cccccccccccc", "other.example\n"), { outcome: "taken" });
  place.emit("7", "last.evil.example", "192.0.2.9", time);
  await place.settled();
  assert.equal((await place.sightings()).length, 3, "the list was replaced whole");
});
