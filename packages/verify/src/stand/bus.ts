/**
 * The stand-in bus of a canary: a broker of its own, configured by the platform's code for the canary in its
 * instrument's place and for a victim, behind the platform's own gate; and an observer who sees every message.
 *
 * Invariants: the sensor's own broker is never weakened and never attacked; the victim's messages carry a number that
 * only this process knows. It runs as the installation's unprivileged user.
 */
import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createConnection, createServer, type Socket } from "node:net";
import { createInterface } from "node:readline";
import { setTimeout as delay } from "node:timers/promises";
import type { BusUser } from "@bulkhead/core";
import { CANARY_NAME } from "@bulkhead/schema";
import { brokerPaths, renderBrokerConfig } from "@bulkhead/sensord/bus/broker-config";
import { BusGate } from "@bulkhead/sensord/bus/gate";
import { GateCounts } from "@bulkhead/sensord/bus/gate-counts";
import { renderConnect, renderInfo } from "@bulkhead/sensord/bus/handshake";
import { DEFAULT_BUS_LIMITS } from "@bulkhead/sensord/bus/limits";
import { MessageBook } from "@bulkhead/sensord/bus/message-book";
import { connect, headers, type NatsConnection } from "@nats-io/transport-node";
import * as z from "zod";
import { watchBroker } from "./broker-watch.ts";
import { takeDeliveries } from "./deliveries.ts";

const User = z.strictObject({
  name: z.string(),
  publish: z.array(z.string()),
  subscribe: z.array(z.string()),
  responses: z.strictObject({ max: z.int(), expires: z.string() }),
});
/** What root tells the stand-in bus. */
export const BusOrder = z.strictObject({
  natsServer: z.string(),
  dir: z.string(),
  socketPath: z.string(),
  users: z.array(User),
  /** Left out: the gate that judges every line, and the broker's permissions. */
  withoutGate: z.boolean(),
  withoutPermissions: z.boolean(),
  /** Left out: the desk that judges deliveries. */
  withoutDesk: z.boolean(),
});
export type BusOrder = z.infer<typeof BusOrder>;

const OBSERVER: BusUser = {
  name: "observer",
  publish: [">"],
  subscribe: [">"],
  responses: { max: 1, expires: "5s" },
};
/** Subjects of the victim on which something is said all the time. */
const SPOKEN = ["ev.victim.note", "msg.victim.other.order", "cmd.victim.stop", "_INBOX.victim.1"] as const;
const SPEAK_EVERY_MS = 100;
const SILENT = { info: () => undefined, warn: () => undefined, error: () => undefined };

export async function runBus(orderFile: string): Promise<void> {
  const order = BusOrder.parse(JSON.parse(readFileSync(orderFile, "utf8")));
  const own = order.users.find(({ name }) => name === CANARY_NAME);
  if (own === undefined) throw new Error("the canary is no user of the bus");
  const port = await freePort();
  const users = [
    ...order.users.map((user) =>
      user.name === CANARY_NAME && order.withoutPermissions
        ? { ...user, publish: [">"], subscribe: [">"] }
        : user,
    ),
    OBSERVER,
  ];
  const passwords = Object.fromEntries(users.map(({ name }) => [name, randomBytes(24).toString("hex")]));
  const paths = brokerPaths({ brokerDir: order.dir });
  mkdirSync(paths.storeDir, { recursive: true });
  const limits = DEFAULT_BUS_LIMITS;
  const { text } = renderBrokerConfig({
    slug: CANARY_NAME,
    port,
    paths,
    users,
    passwords,
    storeBytes: 16 * 2 ** 20,
    limits,
  });
  writeFileSync(paths.configFile, text, { mode: 0o600 });
  const broker = spawn(order.natsServer, ["-c", paths.configFile], { stdio: "ignore" });
  broker.on("exit", () => process.exit(1));
  process.on("exit", () => broker.kill("SIGKILL"));
  const observer = await connectObserver(port, passwords[OBSERVER.name] ?? "");
  const counts: Record<string, number> = {};
  observer.subscribe(">", {
    callback: (_error, { subject, headers }) => {
      if (headers?.has("Victim") === true) return;
      counts[subject.slice(0, 60)] = (counts[subject.slice(0, 60)] ?? 0) + 1;
    },
  });
  await makeStream(observer);
  const desk = await takeDeliveries(observer, order, counts);
  speak(observer);
  // Between the canary's side and the broker: what the broker took and handed out is counted where nobody lies.
  const watched = await watchBroker(port, counts);
  const credentials = { user: CANARY_NAME, password: passwords[CANARY_NAME] ?? "" };
  if (order.withoutGate) splice(order.socketPath, watched, credentials);
  else {
    // It stays open as long as this process lives.
    void new BusGate({
      instrument: CANARY_NAME,
      socketPath: order.socketPath,
      brokerPort: watched,
      user: own,
      credentials,
      limits: limits.gate,
      counts: new GateCounts(),
      book: new MessageBook({
        tell: () => undefined,
        onRecord: () => undefined,
        nowMs: () => performance.now(),
      }),
      deliveries: desk,
      log: SILENT,
    });
  }
  createInterface({ input: process.stdin, crlfDelay: Infinity })
    .on("line", () => void observer.flush().then(() => process.stdout.write(`${JSON.stringify(counts)}\n`)))
    .on("close", () => process.exit(0));
}

async function connectObserver(port: number, password: string): Promise<NatsConnection> {
  for (let tries = 0; ; tries += 1) {
    try {
      return await connect({ servers: `127.0.0.1:${port}`, user: OBSERVER.name, pass: password });
    } catch (error) {
      if (tries > 150) throw error;
      await delay(100);
    }
  }
}

/** The victim's stored events: something to be deleted, purged and read. */
async function makeStream(observer: NatsConnection): Promise<void> {
  const body = {
    name: "EV_victim",
    subjects: ["ev.victim.>"],
    storage: "memory",
    max_msgs: 1000,
    discard: "old",
  };
  await observer.request("$JS.API.STREAM.CREATE.EV_victim", JSON.stringify(body), { timeout: 10_000 });
}

function speak(observer: NatsConnection): void {
  const secret = `victim-says-${randomBytes(8).toString("hex")}`;
  setInterval(() => {
    for (const subject of SPOKEN) observer.publish(subject, secret, { headers: victimHeader() });
  }, SPEAK_EVERY_MS);
}

function victimHeader() {
  const made = headers();
  made.set("Victim", "1");
  return made;
}

/** In the gate's place: puts the credentials in and judges nothing. */
function splice(path: string, port: number, credentials: Parameters<typeof renderConnect>[2]): void {
  const server = createServer((client) => {
    const broker = createConnection({ host: "127.0.0.1", port });
    const drop = (): void => {
      client.destroy();
      broker.destroy();
    };
    for (const side of [client, broker]) side.on("error", drop).on("close", drop);
    rewriteFirstLine(broker, client, (line) => renderInfo(line.replace(/^INFO /, "")));
    rewriteFirstLine(
      client,
      broker,
      (line) => renderConnect(line.replace(/^CONNECT /, ""), CANARY_NAME, credentials) ?? Buffer.from(line),
    );
  });
  const former = process.umask(0);
  server.listen(path, () => process.umask(former));
}

function rewriteFirstLine(from: Socket, to: Socket, rewrite: (line: string) => Buffer): void {
  let head = Buffer.alloc(0);
  const onData = (chunk: Buffer): void => {
    head = Buffer.concat([head, chunk]);
    const end = head.indexOf("\r\n");
    if (end === -1) return;
    from.off("data", onData);
    to.write(rewrite(head.subarray(0, end).toString("utf8")));
    to.write(head.subarray(end + 2));
    from.pipe(to);
  };
  from.on("data", onData);
}

async function freePort(): Promise<number> {
  const { promise, resolve } = Promise.withResolvers<number>();
  const server = createServer();
  server.listen(0, "127.0.0.1", () => {
    const address = server.address();
    const port = typeof address === "object" && address !== null ? address.port : 0;
    server.close(() => resolve(port));
  });
  return await promise;
}
