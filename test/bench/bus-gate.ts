/**
 * Measures what the bus gate costs: messages a second from one publisher through the broker to one
 * subscriber, straight and through the gate, by the npm client and by a bare socket that writes as
 * fast as it can. Interleaved runs; medians and quartiles. Not a test: `node test/bench/bus-gate.ts
 * [--quick] [--json]`.
 *
 * Processes as on a sensor: gate, broker and publisher each their own.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createConnection, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { eventually } from "@bulkhead/testkit";
import { BusGate } from "../../packages/sensord/src/bus/gate.ts";
import { GateCounts } from "../../packages/sensord/src/bus/gate-counts.ts";
import { DEFAULT_BUS_LIMITS } from "../../packages/sensord/src/bus/limits.ts";
import { MessageBook } from "../../packages/sensord/src/bus/message-book.ts";
import { SILENT } from "../../packages/sensord/src/log.ts";
import { findNatsServer, freePort, TestBroker } from "../../packages/testkit/src/broker.ts";

const SUBJECT = "blob";
const PAYLOAD = "x".repeat(500);
const FRAME = `PUB ${SUBJECT} ${PAYLOAD.length}\r\n${PAYLOAD}\r\n`;
const WAYS = ["direct", "gate"] as const;
const WRITERS = ["client", "socket"] as const;
type Way = (typeof WAYS)[number];
type Writer = (typeof WRITERS)[number];
type Place = { readonly path: string } | { readonly host: string; readonly port: number };

interface Task {
  readonly writer: Writer;
  readonly place: Place;
  readonly user: string;
  readonly password: string;
  readonly messages: number;
}

const [role, ...argv] = process.argv.slice(2);
if (role === "sensord") await serve();
else if (role === "publisher") await publish();
else await measure([role ?? "", ...argv]);

/** The gate's process: a broker with two users, and a gate for one; says where it is, and ends with its parent. */
async function serve(): Promise<void> {
  await using stack = new AsyncDisposableStack();
  const dir = await mkdtemp(join(tmpdir(), "bulkhead-bench-gate-"));
  stack.defer(() => rm(dir, { recursive: true, force: true }));
  const [port, natsServer] = [await freePort(), await findNatsServer()];
  const passwords = { source: "source", sink: "sink" };
  const users = Object.entries(passwords).map(([user, password]) => ({ user, password }));
  const configFile = join(dir, "nats.conf");
  const config = { listen: `127.0.0.1:${port}`, max_pending: 256 * 1024 * 1024, authorization: { users } };
  await writeFile(configFile, JSON.stringify(config));
  stack.use(await TestBroker.start({ natsServer, configFile, port }));
  const path = join(dir, "bus.sock");
  const gate = stack.use(
    new BusGate({
      instrument: "source",
      socketPath: path,
      brokerPort: port,
      user: { name: "source", publish: [SUBJECT], subscribe: [], responses: { max: 1, expires: "1s" } },
      credentials: { user: "source", password: passwords.source },
      limits: {
        ...DEFAULT_BUS_LIMITS.gate,
        messagesPerSecond: 1e9,
        messageBurst: 1e9,
        bytesPerSecond: 1e12,
        byteBurst: 1e12,
        busyMsPerSecond: 1e9,
        busyBurstMs: 1e9,
      },
      counts: new GateCounts(),
      book: new MessageBook({
        tell: () => undefined,
        onRecord: () => undefined,
        nowMs: () => performance.now(),
      }),
      log: SILENT,
    }),
  );
  await eventually("the gate", () => gate.listening);
  console.log(JSON.stringify({ port, path, passwords }));
  await once(process.stdin.resume(), "end");
}

/** Publishes as told on stdin, one task a line. */
async function publish(): Promise<void> {
  for await (const line of createInterface({ input: process.stdin })) {
    const task: Task = JSON.parse(line);
    await (task.writer === "client" ? publishByClient(task) : publishBySocket(task));
    console.log("done");
  }
}

async function publishByClient({ place, user, password, messages }: Task): Promise<void> {
  const { connectPlace } = await import("../integration/bus/bus-fixture.ts");
  const connection = await connectPlace(place, user, password);
  for (let at = 0; at < messages; at += 1) {
    connection.publish(SUBJECT, PAYLOAD);
    if (at % 2000 === 1999) await connection.flush();
  }
  await connection.flush();
  await connection.close();
}

async function publishBySocket({ place, user, password, messages }: Task): Promise<void> {
  const socket = await open(place, user, password);
  const batch = 100;
  const chunk = Buffer.from(FRAME.repeat(batch));
  for (let at = 0; at < messages; at += batch) {
    if (!socket.write(chunk)) await once(socket, "drain");
  }
  socket.write("PING\r\n");
  await once(socket, "data");
  socket.destroy();
}

async function open(place: Place, user: string, password: string): Promise<Socket> {
  const socket = createConnection(place);
  await once(socket, "data"); // INFO
  socket.write(`CONNECT ${JSON.stringify({ verbose: false, user, pass: password })}\r\nPING\r\n`);
  await once(socket, "data"); // PONG
  return socket;
}

async function measure(args: readonly string[]): Promise<void> {
  const quick = args.includes("--quick");
  const rounds = quick ? 3 : 9;
  const messages = quick ? 100_000 : 400_000;
  await using stack = new AsyncDisposableStack();
  const child = (name: string): ChildProcess => {
    const started = spawn(process.execPath, [import.meta.filename, name], {
      stdio: ["pipe", "pipe", "inherit"],
    });
    stack.defer(() => void started.stdin?.end());
    return started;
  };
  const sensord = linesOf(child("sensord"));
  const { port, path, passwords } = JSON.parse(await sensord.next());
  const worker = child("publisher");
  const publisher = linesOf(worker);
  const rates = new Map<string, number[]>();
  for (let round = 0; round <= rounds; round += 1) {
    for (const writer of WRITERS) {
      for (const way of WAYS) {
        const place = way === "gate" ? { path } : { host: "127.0.0.1", port };
        const { arrived } = await receive(port, passwords.sink, messages);
        const began = performance.now();
        const task: Task = { writer, place, user: "source", password: passwords.source, messages };
        worker.stdin?.write(`${JSON.stringify(task)}\n`);
        await Promise.all([publisher.next(), arrived]);
        // The first round warms up.
        const key = `${writer} ${way}`;
        const rate = messages / ((performance.now() - began) / 1000);
        if (round > 0) rates.set(key, [...(rates.get(key) ?? []), rate]);
      }
    }
  }
  report(rates, args.includes("--json"));
}

/** A subscriber at the broker; `arrived` when `messages` of the frames have come to it. */
async function receive(
  port: number,
  password: string,
  messages: number,
): Promise<{ readonly arrived: Promise<void> }> {
  const socket = await open({ host: "127.0.0.1", port }, "sink", password);
  socket.write(`SUB ${SUBJECT} 1\r\nPING\r\n`);
  await once(socket, "data");
  const line = `MSG ${SUBJECT} 1 ${PAYLOAD.length}\r\n`;
  let left = messages * (line.length + PAYLOAD.length + 2);
  const { promise, resolve } = Promise.withResolvers<void>();
  socket.on("data", (chunk: Buffer) => {
    left -= chunk.length;
    if (left <= 0) {
      socket.destroy();
      resolve();
    }
  });
  return { arrived: promise };
}

function linesOf(child: ChildProcess): { next(): Promise<string> } {
  if (child.stdout === null) throw new TypeError("stdout is a pipe");
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  return {
    next: async () => {
      const { value, done } = await lines.next();
      if (done === true) throw new Error("a part of the measurement ended early");
      return value;
    },
  };
}

function report(rates: ReadonlyMap<string, readonly number[]>, json: boolean): void {
  const results = WRITERS.map((writer) => {
    const at = (way: Way, quantile: number): number => {
      const sorted = [...(rates.get(`${writer} ${way}`) ?? [])].toSorted((a, b) => a - b);
      return Math.round(sorted[Math.floor(quantile * (sorted.length - 1))] ?? 0);
    };
    const value = at("gate", 0.5);
    const beside = { direct: at("direct", 0.5) };
    const ratio = { direct: Number((value / beside.direct).toFixed(3)) };
    return {
      id: `bus-gate-${writer}`,
      value,
      unit: "messages/s",
      spread: [at("gate", 0.25), at("gate", 0.75)],
      beside,
      ratio,
      aims: [{ on: "direct", op: ">=", value: 0.6, met: ratio.direct >= 0.6, note: "500 B messages" }],
    };
  });
  if (json) console.log(JSON.stringify({ bench: "bus-gate", results }));
  else
    console.table(
      results.map(({ id, value, beside, ratio }) => ({ id, gate: value, ...beside, ratio: ratio.direct })),
    );
}
